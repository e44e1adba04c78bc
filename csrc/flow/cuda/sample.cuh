// Values of a plane between its pixels.
#pragma once

#include "../core/interpolation.h"
#include "plane.cuh"

namespace slt_fast::cuda {
namespace {

// Returns the value at a position inside the plane, from the weights of the four pixels around it.
__device__ __forceinline__ float value_at(const Plane<float>& plane, float y, float x) {
  const Corner corner = corner_of(y, x);
  const float *top = plane.values + plane.row(corner.y), *bottom = plane.values + plane.row(corner.y + 1);
  const int left = plane.column(corner.x), right = plane.column(corner.x + 1);
  return weighted(corner, top[left], top[right], bottom[left], bottom[right]);
}

__device__ __forceinline__ float2 value_at(const Plane<float2>& plane, float y, float x) {
  const Corner corner = corner_of(y, x);
  const float2 *top = plane.values + plane.row(corner.y), *bottom = plane.values + plane.row(corner.y + 1);
  const int left = plane.column(corner.x), right = plane.column(corner.x + 1);
  const float2 a = top[left], b = top[right], c = bottom[left], d = bottom[right];
  return {weighted(corner, a.x, b.x, c.x, d.x), weighted(corner, a.y, b.y, c.y, d.y)};
}

// Returns the value at any position, interpolated along x and then along y.
__device__ __forceinline__ float warped_at(const Plane<float>& plane, float y, float x) {
  y = clamped(y, 0.0f, static_cast<float>(plane.size.height - 1));
  x = clamped(x, 0.0f, static_cast<float>(plane.size.width - 1));
  const int row = static_cast<int>(y), column = static_cast<int>(x);
  const float *top = plane.values + row * plane.size.width, *bottom = plane.values + plane.row(row + 1);
  const int right = plane.column(column + 1);
  return between(top[column], top[right], bottom[column], bottom[right], x - static_cast<float>(column),
                 y - static_cast<float>(row));
}

}  // namespace
}  // namespace slt_fast::cuda
