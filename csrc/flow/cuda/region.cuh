// How the blocks of a fixed point share a level, and how the threads of a block share its pixels.
//
// A block works on a region with a halo, and writes only the pixels that no error from the halo has reached. The border
// of the image itself needs no halo. A thread owns four pixels of a column.
//
// A pixel has neighbours of the other colour only. Shared memory therefore stores the region by colour, and each pair
// of rows is one row of either colour. The left and right neighbours are then in the same row of the other colour, and
// the columns of a warp are contiguous.
#pragma once

#include "launch.cuh"
#include "plane.cuh"

namespace slt_fast::cuda {

constexpr int kRegionRows = 64, kRegionColumns = 64;
constexpr int kStrip = 4;
constexpr int kStripPairs = kStrip / 2;
constexpr int kWarpSize = 32;
constexpr int kRegionThreads = kRegionRows * kRegionColumns / kStrip;
// More sweeps need a wider halo, which leaves only a small part of the region to write.
constexpr int kMaxSweeps = 12;

// Regions along a side.
struct Tiling {
  int length, region, margin;  // in pixels; margin is the width of the halo

  __host__ __device__ int step() const { return region - 2 * margin; }
  __host__ __device__ int count() const { return length <= region ? 1 : 1 + (length - region + step() - 1) / step(); }
  __host__ __device__ int origin(int index) const { return index * step(); }
  // Returns true if this region writes the pixel.
  __device__ __forceinline__ bool writes(int index, bool is_last, int pixel) const {
    const int local = pixel - origin(index);
    return pixel < length && (index == 0 || local >= margin) && (is_last || local < region - margin);
  }
};

// Each half-sweep carries wrong values one pixel further.
__host__ __device__ inline Tiling down_of(const Size& size, int sweeps) {
  return {size.height, kRegionRows, 2 * sweeps};
}
__host__ __device__ inline Tiling across_of(const Size& size, int sweeps) {
  return {size.width, kRegionColumns, 2 * sweeps};
}

namespace {

// Values at the pixels of a region, with zeros around it.
struct Cells {
  static constexpr int kCount = 2 * (kRegionRows / 2 + 2) * (kRegionColumns + 2);
  float2 values[2][kRegionRows / 2 + 2][kRegionColumns + 2];

  __device__ __forceinline__ float2& at(int colour, int row_pair, int column) {
    return values[colour][row_pair + 1][column + 1];
  }
  __device__ __forceinline__ void clear(int thread) {
    for (int i = thread; i < kCount; i += kRegionThreads) (&values[0][0][0])[i] = {0, 0};
  }
};

// The pixels that a thread owns: rows y to y + 3 of a column.
struct Strip {
  int y, x;              // first pixel, in the image
  int row_pair, column;  // first pixel, in the region
  int parity;            // red pixels (row + column is even) are in the rows y + parity, y + parity + 2, ...

  // Returns true if a strip of the warp begins in the image; the same for all threads of a warp.
  __device__ __forceinline__ bool is_busy(const Size& size) const {
    return y < size.height && x - column % kWarpSize < size.width;
  }
  __device__ __forceinline__ bool is_inside(const Size& size, int row) const {
    return y + row < size.height && x < size.width;
  }
  __device__ __forceinline__ int colour_of(int row) const { return parity ^ (row & 1); }
  // `row` may be one above or one below the strip.
  __device__ __forceinline__ float2& cell(Cells& cells, int row, int to_column = 0) const {
    const int colour = colour_of(row) ^ (to_column & 1);
    return cells.at(colour, row_pair + (row + 2) / 2 - 1, column + to_column);
  }
};

__device__ __forceinline__ Strip strip_at(int thread, int top, int left) {
  const int column = thread % kRegionColumns, strip = thread / kRegionColumns;
  const int y = top + strip * kStrip, x = left + column;
  return {y, x, strip * kStripPairs, column, (y + x) & 1};
}

// Hides the value from the compiler, which then recomputes what depends on it. This saves the registers that would
// carry it from one part of a kernel to the next.
__device__ __forceinline__ int renewed(int value) {
  asm volatile("" : "+r"(value));
  return value;
}
__device__ __forceinline__ Strip renewed(Strip strip) {
  strip.y = renewed(strip.y);
  return strip;
}

}  // namespace
}  // namespace slt_fast::cuda
