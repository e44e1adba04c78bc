// The order of the kernels.
#include <algorithm>
#include <utility>

#include "densify.cuh"
#include "enlarge.cuh"
#include "fixed_point.cuh"
#include "flow.h"
#include "grey.cuh"
#include "pyramid.cuh"
#include "search.cuh"
#include "warp.cuh"
#include "workspace.cuh"

namespace slt_fast::cuda {
namespace {

// Computes a clip's pairs, as many at a time as the workspace holds.
class FlowOfPairs {
 public:
  FlowOfPairs(const Clip& clip, const Settings& settings, const Workspace& space, cudaStream_t stream)
      : clip_(clip), settings_(settings), space_(space), stream_(stream) {}

  // Computes `pairs` pairs, from pair `first` on.
  void run(int64_t first, int64_t pairs, float* out) {
    pairs_ = pairs;
    build_pyramid(clip_.grey + first * size_of(0).pixels());
    solve_levels(out + 2 * first * size_of(0).pixels());
  }

 private:
  Size size_of(int level) const { return size_of_level(clip_, level); }
  Frames frames_of(int level) const { return {space_.frames[level], size_of(level)}; }
  Grid grid_of(int level) const {
    const int stride = settings_.patch_stride;
    return {patches_along(size_of(level).height, stride), patches_along(size_of(level).width, stride), stride};
  }

  void build_pyramid(const uint8_t* grey) const {
    const FloatJob full = {grey, size_of(0), space_.frames[0]};
    launch(float_kernel, blocks_over(full.size.pixels(), pairs_ + 1), kPixelThreads, stream_, full);
    for (int level = 1; level <= space_.levels.coarsest; ++level) {
      const HalveJob job = {space_.frames[level - 1], size_of(level - 1), size_of(level), space_.frames[level]};
      launch(halve_kernel, blocks_over(job.size.pixels(), pairs_ + 1), kPixelThreads, stream_, job);
    }
  }

  void solve_levels(float* out) const {
    const int finest = space_.levels.finest;
    const float2* coarser = nullptr;
    for (int level = space_.levels.coarsest; level >= finest; --level) {
      float2* flow = space_.flows[level];
      search(level, coarser);
      // Each warp reads one buffer and writes the other; the last one writes `flow`.
      float2 *from = flow, *to = space_.other_flow;
      if (settings_.warps % 2 == 1) std::swap(from, to);
      densify(level, from);
      for (int warp = 0; warp < settings_.warps; ++warp) {
        refine(level, from, to);
        std::swap(from, to);
      }
      coarser = flow;
    }
    enlarge(coarser, out);
  }

  void search(int level, const float2* coarser) const {
    const Grid grid = grid_of(level);
    const SearchJob job = {frames_of(level), coarser, size_of(level + 1), grid, settings_.descent_iterations,
                           space_.motions};
    const auto blocks = static_cast<unsigned>(whole_parts(grid.patches(), kPatchesOfBlock));
    launch(search_kernel, dim3(blocks, static_cast<unsigned>(pairs_)), kSearchThreads, stream_, job);
  }

  void densify(int level, float2* flow) const {
    const DensifyJob job = {frames_of(level), space_.motions, grid_of(level), flow};
    launch(densify_kernel, blocks_over(job.frames.size.pixels(), pairs_), kPixelThreads, stream_, job);
  }

  // Computes one warp, from `flow` to `refined`.
  void refine(int level, const float2* flow, float2* refined) const {
    const Size size = size_of(level);
    const WarpJob job = {frames_of(level), flow, space_.across, space_.down};
    const dim3 tiles(static_cast<unsigned>(whole_parts(size.width, kWarpColumns)),
                     static_cast<unsigned>(whole_parts(size.height, kWarpRows)), static_cast<unsigned>(pairs_));
    launch(warp_kernel, tiles, kWarpThreads, stream_, job);
    const float2* increment = nullptr;
    for (int k = 0; k < settings_.fixed_points; ++k) {
      const bool is_last = k == settings_.fixed_points - 1;
      float2* result = is_last ? refined : space_.increments[k % 2];
      solve({space_.across, space_.down, flow, increment, result, size, settings_.sweeps, is_last});
      increment = result;
    }
  }

  void solve(const FixedPointJob& job) const {
    const Tiling across = across_of(job.size, job.sweeps), down = down_of(job.size, job.sweeps);
    const dim3 regions(static_cast<unsigned>(across.count()), static_cast<unsigned>(down.count()),
                       static_cast<unsigned>(pairs_));
    const auto kernel = job.increment == nullptr ? fixed_point_kernel<true> : fixed_point_kernel<false>;
    launch(kernel, regions, kRegionThreads, stream_, job);
  }

  void enlarge(const float2* flow, float* out) const {
    const int finest = space_.levels.finest;
    const EnlargeJob job = {flow, size_of(finest), size_of(0), static_cast<float>(1 << finest), out};
    launch(enlarge_kernel, blocks_over(job.size.pixels(), pairs_), kPixelThreads, stream_, job);
  }

  const Clip& clip_;
  const Settings& settings_;
  const Workspace& space_;
  cudaStream_t stream_;
  int64_t pairs_ = 0;
};

}  // namespace

int most_sweeps() { return kMaxSweeps; }

int64_t workspace_size(const Clip& clip, const Settings& settings, int64_t pairs) {
  return Workspace(clip, settings, pairs, nullptr).size();
}

int64_t pairs_at_once(const Clip& clip, const Settings& settings) {
  // A coarse level is one block a pair, so only about a hundred pairs keep a GPU busy: 110 pairs of 224x224 pixels take
  // 256 MiB. A single pair of large frames is enough, and may take more.
  constexpr int64_t kFloats = 64 << 20;
  const int64_t pairs = kFloats / workspace_size(clip, settings, 1);
  return std::max<int64_t>(1, std::min({pairs, clip.pairs, kMaxPairsOfLaunch}));
}

void flow_of_clip(const Clip& clip, const Settings& settings, int64_t pairs, float* workspace, void* stream,
                  float* flow) {
  const Workspace space(clip, settings, pairs, workspace);
  FlowOfPairs flow_of_pairs(clip, settings, space, static_cast<cudaStream_t>(stream));
  for (int64_t first = 0; first < clip.pairs; first += pairs) {
    flow_of_pairs.run(first, std::min(pairs, clip.pairs - first), flow);
  }
}

void grey_of_rgb(const uint8_t* rgb, int64_t pixels, void* stream, uint8_t* grey) {
  if (pixels == 0) return;
  const GreyJob job = {rgb, pixels, grey};
  launch(grey_kernel, blocks_over(pixels, 1), kPixelThreads, static_cast<cudaStream_t>(stream), job);
}

}  // namespace slt_fast::cuda
