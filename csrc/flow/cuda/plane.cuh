// Planes in the GPU's memory: frames, and fields of which u and v lie side by side.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace slt_fast::cuda {

// Sides are below 2^15: an offset inside a plane is an int, one inside a batch of planes is not.
struct Size {
  int height, width;
  __host__ __device__ int64_t pixels() const { return static_cast<int64_t>(height) * width; }
};

__device__ __forceinline__ int clamped_index(int index, int length) {
  index = index > 0 ? index : 0;
  return index < length ? index : length - 1;
}

// One plane; beyond its border, the pixels of the border are repeated.
template <class Value>
struct Plane {
  const Value* values;
  Size size;

  // What to add to `values` for a row, and for a column of it.
  __device__ __forceinline__ int row(int y) const { return clamped_index(y, size.height) * size.width; }
  __device__ __forceinline__ int column(int x) const { return clamped_index(x, size.width); }
};

// The frames of a level, one more than pairs; the second frame of a pair is the first one of the next.
struct Frames {
  const float* values;
  Size size;

  __device__ __forceinline__ Plane<float> first(int64_t pair) const { return {values + pair * size.pixels(), size}; }
  __device__ __forceinline__ Plane<float> second(int64_t pair) const { return first(pair + 1); }
};

}  // namespace slt_fast::cuda
