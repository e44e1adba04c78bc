// Planes in the GPU's memory: frames, and fields with interleaved u and v.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace slt_fast::cuda {

// Sides are below 2^15, so an offset inside a plane fits an int. An offset inside a batch of planes needs 64 bits.
struct Size {
  int height, width;
  __host__ __device__ int64_t pixels() const { return static_cast<int64_t>(height) * width; }
};

__device__ __forceinline__ int clamped_index(int index, int length) {
  index = index > 0 ? index : 0;
  return index < length ? index : length - 1;
}

// One plane; outside it, the pixels of the border repeat.
template <class Value>
struct Plane {
  const Value* values;
  Size size;

  // Offsets in `values` of a row, and of a column within a row.
  __device__ __forceinline__ int row(int y) const { return clamped_index(y, size.height) * size.width; }
  __device__ __forceinline__ int column(int x) const { return clamped_index(x, size.width); }
};

// The frames of a level, one more than pairs: the second frame of a pair is the first frame of the next.
struct Frames {
  const float* values;
  Size size;

  __device__ __forceinline__ Plane<float> first(int64_t pair) const { return {values + pair * size.pixels(), size}; }
  __device__ __forceinline__ Plane<float> second(int64_t pair) const { return first(pair + 1); }
};

}  // namespace slt_fast::cuda
