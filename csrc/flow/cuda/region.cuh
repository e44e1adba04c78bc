// How a level is shared among the blocks of a fixed point, and a block's pixels among its threads.
//
// A block works on a region, and writes those of its pixels that nothing has reached from a border of the region which
// is not the image's. A thread owns four pixels of a column. Pixels of one colour are neighbours of the other colour
// only; so the region lies in shared memory colour by colour, each pair of rows as one row of either: left and right
// neighbours are then at the same row of the other colour, and the columns of a warp are side by side.
#pragma once

#include "launch.cuh"
#include "plane.cuh"

namespace slt_fast::cuda {

constexpr int kRegionRows = 64, kRegionColumns = 64;
constexpr int kStrip = 4;
constexpr int kStripPairs = kStrip / 2;
constexpr int kWarpSize = 32;
constexpr int kRegionThreads = kRegionRows * kRegionColumns / kStrip;
// With more of them a region's part that is written becomes a small one.
constexpr int kMaxSweeps = 12;

// Regions along a side.
struct Tiling {
  int length, region, margin;  // pixels; those along a region's border that may be wrong

  __host__ __device__ int step() const { return region - 2 * margin; }
  __host__ __device__ int count() const { return length <= region ? 1 : 1 + (length - region + step() - 1) / step(); }
  __host__ __device__ int origin(int index) const { return index * step(); }
  // Whether a pixel is one that this region, the last one or not, writes.
  __device__ __forceinline__ bool writes(int index, bool is_last, int pixel) const {
    const int local = pixel - origin(index);
    return pixel < length && (index == 0 || local >= margin) && (is_last || local < region - margin);
  }
};

// Each half-sweep takes wrong values one pixel further.
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
  int y, x;              // of its first pixel in the image
  int row_pair, column;  // the same in the region
  int parity;            // red pixels, of which row + column is even, are in the rows y + parity, y + parity + 2, ...

  // The same for all threads of a warp: whether the strip of one of them begins in the image.
  __device__ __forceinline__ bool is_busy(const Size& size) const {
    return y < size.height && x - column % kWarpSize < size.width;
  }
  __device__ __forceinline__ bool is_inside(const Size& size, int row) const {
    return y + row < size.height && x < size.width;
  }
  __device__ __forceinline__ int colour_of(int row) const { return parity ^ (row & 1); }
  // Rows may be one above and one below the strip.
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

// Of the value that it returns the compiler knows nothing: what depends on it is computed anew, where there are no
// registers to keep it from one part of a kernel to the next.
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
