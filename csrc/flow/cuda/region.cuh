// How a level is shared among the blocks of a fixed point, and a block's pixels among its threads.
//
// A block works on a square region, and writes those of its pixels that no border of the region which is not the
// image's has reached: each half-sweep takes wrong values one pixel further inwards. A thread owns eight pixels of a
// column. Pixels of one colour are neighbours of the other colour only; so the region lies in shared memory colour by
// colour, each pair of rows as one row of either: left and right neighbours are then at the same row of the other
// colour, and the columns of a warp are side by side.
#pragma once

#include "launch.cuh"
#include "plane.cuh"

namespace slt_fast::cuda {

constexpr int kRegion = 64;
constexpr int kStrip = 8;
constexpr int kStripPairs = kStrip / 2;
constexpr int kRegionThreads = kRegion * kRegion / kStrip;
// With more of them a region's part that is written becomes a small one.
constexpr int kMaxSweeps = 12;

// Regions along a side.
struct Tiling {
  int length, margin;  // pixels; those along a region's border that may be wrong

  __host__ __device__ int step() const { return kRegion - 2 * margin; }
  __host__ __device__ int count() const { return length <= kRegion ? 1 : 1 + (length - kRegion + step() - 1) / step(); }
  __host__ __device__ int origin(int region) const { return region * step(); }
  // Whether a region's pixel is one that it writes.
  __device__ bool writes(int region, int pixel) const {
    const int local = pixel - origin(region);
    return pixel < length && (region == 0 || local >= margin) && (region == count() - 1 || local < kRegion - margin);
  }
};

__host__ __device__ inline Tiling tiling_of(int length, int sweeps) { return {length, 2 * sweeps}; }

namespace {

// Values at the pixels of a region, with zeros around it.
struct Cells {
  float2 values[2][kRegion / 2 + 2][kRegion + 2];

  __device__ __forceinline__ float2& at(int colour, int row_pair, int column) {
    return values[colour][row_pair + 1][column + 1];
  }
};

// The pixels that a thread owns: rows y to y + 7 of a column.
struct Strip {
  int y, x;              // of its first pixel in the image
  int row_pair, column;  // the same in the region
  int parity;            // red pixels, of which row + column is even, are in the rows y + parity, y + parity + 2, ...

  __device__ __forceinline__ int colour_of(int row) const { return parity ^ (row & 1); }
  // Rows may be one above and one below the strip.
  __device__ __forceinline__ float2& cell(Cells& cells, int row, int to_column = 0) const {
    const int colour = colour_of(row) ^ (to_column & 1);
    return cells.at(colour, row_pair + (row + 2) / 2 - 1, column + to_column);
  }
};

__device__ __forceinline__ Strip strip_at(int thread, int top, int left) {
  const int column = thread % kRegion, strip = thread / kRegion;
  const int y = top + strip * kStrip, x = left + column;
  return {y, x, strip * kStripPairs, column, (y + x) & 1};
}

}  // namespace
}  // namespace slt_fast::cuda
