// Sums of the gradients of each patch of a level.
#pragma once

#include <vector>

#include "plane.h"

namespace slt_fast::opencv {

inline int patches_along(int length, int stride) { return 1 + (length - kPatchSize) / stride; }

struct PatchSums {
  float xx, yy, xy, x, y;
};

// Of the patches whose corners lie `stride` pixels apart, row by row.
std::vector<PatchSums> patch_sums(const Plane& gradient_x, const Plane& gradient_y, int stride);

}  // namespace slt_fast::opencv
