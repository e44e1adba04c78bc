#include "levels.h"

#include <algorithm>
#include <cmath>

#include "plane.h"

namespace slt_fast::opencv {
namespace {

// There a quarter of the longer side is a patch, and one patch fits.
int usual_coarsest(int height, int width) {
  const int longer = std::max(height, width), shorter = std::min(height, width);
  const int quarter = static_cast<int>(std::log(longer / (4.0 * kPatchSize)) / std::log(2.0) + 0.5);
  return std::min(quarter, static_cast<int>(std::log(shorter / kPatchSize) / std::log(2.0)));
}

// There two fifths of the width are a patch.
int coarsest_by_width(int width) {
  int level = 0;
  while (5 * kPatchSize << (level + 1) <= 2 * width) ++level;
  return level;
}

int coarsest_that_fits(int height, int width) {
  int level = 0;
  while (std::min(height, width) >> (level + 1) >= kPatchSize) ++level;
  return level;
}

}  // namespace

// On frames too small for the finest level OpenCV takes others, chosen by the width alone. Where no patch fits there it
// reads beyond its memory, and it refuses frames of which both sides are below 12; we then take the last that fits.
Levels levels_of(int height, int width, int finest) {
  int coarsest = usual_coarsest(height, width);
  if (coarsest < finest) {
    coarsest = coarsest_by_width(width);
    finest = std::max(coarsest - 2, 0);
  }
  coarsest = std::min(coarsest, coarsest_that_fits(height, width));
  return {std::min(finest, coarsest), coarsest};
}

}  // namespace slt_fast::opencv
