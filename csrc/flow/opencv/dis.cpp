#include "dis.h"

#include <utility>
#include <vector>

#include "densify.h"
#include "enlarge.h"
#include "levels.h"
#include "plane.h"
#include "pyramid.h"
#include "refinement.h"
#include "search.h"

namespace slt_fast::opencv {

void dis_flow(const uint8_t* first, const uint8_t* second, int height, int width, const DisSettings& settings,
              float* flow) {
  const Levels levels = levels_of(height, width, settings.finest_level);
  const std::vector<LevelFrames> pyramid = pyramid_of(first, second, height, width, levels);
  Flow of_level = {Plane(height >> levels.coarsest, width >> levels.coarsest),
                   Plane(height >> levels.coarsest, width >> levels.coarsest)};
  for (int level = levels.coarsest; level >= levels.finest; --level) {
    const LevelFrames& frames = pyramid[level - levels.finest];
    if (level < levels.coarsest) {
      of_level = {enlarged(of_level.u, frames.first.height(), frames.first.width()),
                  enlarged(of_level.v, frames.first.height(), frames.first.width())};
    }
    const PatchGrid grid = search(frames, of_level, settings.patch_stride, settings.descent_iterations);
    densify(frames, grid, of_level);
    if (settings.refinement_iterations > 0) refine(frames, settings.refinement_iterations, of_level);
  }
  const float factor = static_cast<float>(1 << levels.finest);
  write_enlarged(of_level.u, factor, height, width, flow);
  write_enlarged(of_level.v, factor, height, width, flow + static_cast<ptrdiff_t>(height) * width);
}

}  // namespace slt_fast::opencv
