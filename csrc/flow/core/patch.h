// The search of one patch: Gauss-Newton steps on the mean-normalised difference of two 8x8 patches, with the gradients
// of the first patch (inverse search). Also the mean over all patches that cover a pixel.
#pragma once

#include "formula.h"
#include "interpolation.h"
#include "settings.h"

namespace slt_fast {

constexpr float kPatchPixels = kPatchSize * kPatchSize;
// Share of a Gauss-Newton step that is taken: full steps overshoot on patches with one dominant direction.
constexpr float kDamping = 0.25f;

// Sums over the gradients (x, y) of a patch.
struct PatchSums {
  float xx, xy, yy, x, y;
};

// The damped inverse of the patch's Hessian, and the mean gradients.
struct PatchStep {
  float xx, xy, yy, mean_x, mean_y;
};

struct Motion {
  float u, v;
};

SLT_FAST_FORMULA float larger(float a, float b) { return a > b ? a : b; }

SLT_FAST_FORMULA PatchStep step_of(const PatchSums& sums) {
  const float trace = sums.xx + sums.yy;
  // Without the relative bound, the flow of exact stripes would depend on rounding.
  const float bound = larger(1e-3f * trace * trace, 1e-3f);
  const float scale = kDamping / larger(sums.xx * sums.yy - sums.xy * sums.xy, bound);
  return {scale * sums.yy, -scale * sums.xy, scale * sums.xx, sums.x / kPatchPixels, sums.y / kPatchPixels};
}

// The position of a patch's first pixel in the second frame; at least one pixel of the patch stays inside.
SLT_FAST_FORMULA Corner patch_corner(int row, int column, const Motion& motion, int height, int width) {
  const float least = 1 - kPatchSize;
  const float y = clamped(static_cast<float>(row) + motion.v, least, static_cast<float>(height - 1));
  const float x = clamped(static_cast<float>(column) + motion.u, least, static_cast<float>(width - 1));
  return corner_of(y, x);
}

// The motion after one step, from the sums of difference * (gradient - mean gradient).
SLT_FAST_FORMULA Motion stepped(const Motion& motion, const PatchStep& step, float x, float y) {
  return {motion.u - (step.xx * x + step.xy * y), motion.v - (step.xy * x + step.yy * y)};
}

// A patch that moved further than its own size, or to NaN, returns to its start.
SLT_FAST_FORMULA Motion accepted(const Motion& found, const Motion& start) {
  const float u = found.u - start.u, v = found.v - start.v;
  return u * u + v * v <= kPatchPixels ? found : start;
}

// The first and last patch along one side that cover a pixel; the last patch also covers the rest of the side.
struct Covering {
  int first, last;
};

SLT_FAST_FORMULA Covering covering(int pixel, int stride, int patches) {
  const int past = pixel - kPatchSize;  // the last pixel from which a patch does not reach this one
  const int first = past < 0 ? 0 : past / stride + 1;
  const int last = pixel / stride < patches ? pixel / stride : patches - 1;
  return {first < last ? first : last, last};
}

// A position clamped so that a pixel follows it below or to the right.
SLT_FAST_FORMULA float inner_position(float position, int length) {
  return clamped(position, 0.0f, static_cast<float>(length - 1) - 1e-3f);
}

// Weight of a patch's motion at a pixel, from the difference of the frames in grey levels.
SLT_FAST_FORMULA float motion_weight(float difference) {
  const float distance = difference < 0 ? -difference : difference;
  return 1.0f / larger(distance, 1.0f);
}

}  // namespace slt_fast
