// DISVR: dense inverse search (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016) with the
// variational refinement of Brox et al. ("High Accuracy Optical Flow Estimation Based on a Theory for Warping",
// ECCV 2004), solved by red-black successive over-relaxation.
#pragma once

#include <algorithm>
#include <cmath>

namespace slt_fast {

constexpr int kPatchSize = 8;
// Levels of the pyramid of frames with sides below 2^15.
constexpr int kMaxLevels = 18;

// The parameters of a preset.
struct Settings {
  int finest_level;        // level at which the flow is computed; 0 is full resolution
  int patch_stride;        // pixels of the level from one patch to the next, 1 to 8
  int descent_iterations;  // steps of each patch
  int warps;               // how often the second frame is warped by the current flow
  int fixed_points;        // linearisations of a warp's robust penalties
  int sweeps;              // red-black sweeps of a fixed point
};

struct Levels {
  int finest, coarsest;
};

// The levels of a frame: at the coarsest, a quarter of the longer side is about a patch. One patch fits in each level.
inline Levels levels_of(int height, int width, int finest_level) {
  const double longer = std::max(height, width), shorter = std::min(height, width);
  const int deepest = static_cast<int>(std::floor(std::log2(shorter / kPatchSize)));
  const int quarter = static_cast<int>(std::floor(std::log2(longer / (4 * kPatchSize)) + 0.5));
  const int finest = std::min(finest_level, deepest);
  return {finest, std::max(finest, std::min(quarter, deepest))};
}

// Patches along a side of this length.
inline int patches_along(int length, int stride) { return 1 + (length - kPatchSize) / stride; }

}  // namespace slt_fast
