// The second frame, warped onto the first by the flow, and the first derivatives of the two.
#pragma once

#include "../core/interpolation.h"
#include "plane.h"

namespace slt_fast {
namespace {

// The mean of the first and the warped second frame, their difference, and the derivatives of the mean.
struct WarpedPlanes {
  SplitPlane first, mean, difference, x, y;

  void resize(int height, int width) {
    for (SplitPlane* plane : {&first, &mean, &difference, &x, &y}) plane->resize(height, width);
  }
};

inline void split(const Plane& image, SplitPlane& halves) {
  for (int y = 0; y < image.height(); ++y) {
    for (int parity = 0; parity < 2; ++parity) {
      const float* from = image.row(y) + parity;
      float* to = halves.half(y, parity);
      for (int i = 0; i < halves.count(parity); ++i) to[i] = from[2 * i];
    }
  }
}

inline void warp_half_row(const Plane& second, const SplitPlane& flow, int y, int parity, WarpedPlanes& planes) {
  const float *u = flow.half(y, parity, 0), *v = flow.half(y, parity, 1), *first = planes.first.half(y, parity);
  float *mean = planes.mean.half(y, parity), *difference = planes.difference.half(y, parity);
  const float* pixels = second.row(0);
  const int stride = second.stride();
  const float last_x = static_cast<float>(second.width() - 1), last_y = static_cast<float>(second.height() - 1);
#pragma GCC ivdep
  for (int i = 0; i < flow.count(parity); ++i) {
    const float at_x = clamped(static_cast<float>(2 * i + parity) + u[i], 0.0f, last_x);
    const float at_y = clamped(static_cast<float>(y) + v[i], 0.0f, last_y);
    const int column = static_cast<int>(at_x), row = static_cast<int>(at_y);
    const float right = at_x - static_cast<float>(column), down = at_y - static_cast<float>(row);
    const int k = row * stride + column;
    const float warped = between(pixels[k], pixels[k + 1], pixels[k + stride], pixels[k + stride + 1], right, down);
    mean[i] = 0.5f * (first[i] + warped);
    difference[i] = warped - first[i];
  }
}

inline void warp_row(const Plane& second, const SplitPlane& flow, int y, WarpedPlanes& planes) {
  for (int parity = 0; parity < 2; ++parity) warp_half_row(second, flow, y, parity, planes);
  planes.mean.repeat_sides(y);
  planes.difference.repeat_sides(y);
}

inline void derive_half_row(const HalfRows& mean, int count, float* x, float* y) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    x[i] = central(mean.sides[i], mean.sides[i + 1]);
    y[i] = central(mean.up[i], mean.down[i]);
  }
}

inline void derive_row(int y, WarpedPlanes& planes) {
  for (int parity = 0; parity < 2; ++parity) {
    derive_half_row(half_rows(planes.mean, y, parity), planes.mean.count(parity), planes.x.half(y, parity),
                    planes.y.half(y, parity));
  }
  planes.x.repeat_sides(y);
}

}  // namespace
}  // namespace slt_fast
