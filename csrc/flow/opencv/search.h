// The inverse search: the motion of each patch of a level.
#pragma once

#include <vector>

#include "plane.h"
#include "pyramid.h"

namespace slt_fast::opencv {

struct Motion {
  float u, v;
};

// Patch (row, column) has its corner at pixel (row * stride, column * stride).
struct PatchGrid {
  int rows, columns, stride;
  std::vector<Motion> motions;

  Motion* row(int y) { return motions.data() + static_cast<ptrdiff_t>(y) * columns; }
  const Motion* row(int y) const { return motions.data() + static_cast<ptrdiff_t>(y) * columns; }
};

// Starts from the flow in the middle of each patch.
PatchGrid search(const LevelFrames& frames, const Flow& start, int stride, int iterations);

}  // namespace slt_fast::opencv
