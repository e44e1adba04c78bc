// The second frame, brought onto the first one by the flow, and the first derivatives of the two.
#pragma once

#include "launch.cuh"
#include "sample.cuh"

namespace slt_fast::cuda {
namespace {

constexpr int kWarpRows = 8, kWarpColumns = 32;
constexpr int kWarpThreads = kWarpRows * kWarpColumns;

struct WarpJob {
  Frames frames;
  const float* flow;   // [pairs, 2, height, width]
  float* derivatives;  // [pairs, 3, height, width]: of the mean of both frames by x and y, and their difference
};

__device__ __forceinline__ Compared compared_at(const WarpJob& job, int64_t pair, int y, int x) {
  const int64_t pixels = job.frames.size.pixels();
  const int pixel = y * job.frames.size.width + x;
  const float* flow = job.flow + 2 * pair * pixels + pixel;
  const float warped =
      warped_at(job.frames.second(pair), static_cast<float>(y) + flow[pixels], static_cast<float>(x) + flow[0]);
  return compared(job.frames.first(pair).values[pixel], warped);
}

// A block for a tile, whose means stand in shared memory with those of one pixel around it.
__global__ void __launch_bounds__(kWarpThreads) warp_kernel(WarpJob job) {
  __shared__ float means[kWarpRows + 2][kWarpColumns + 2];
  const Size size = job.frames.size;
  const int64_t pair = blockIdx.z, pixels = size.pixels();
  const int top = blockIdx.y * kWarpRows, left = blockIdx.x * kWarpColumns;
  float* out = job.derivatives + 3 * pair * pixels;
  for (int i = threadIdx.x; i < (kWarpRows + 2) * (kWarpColumns + 2); i += kWarpThreads) {
    const int row = i / (kWarpColumns + 2), column = i % (kWarpColumns + 2);
    const int y = clamped_index(top + row - 1, size.height), x = clamped_index(left + column - 1, size.width);
    const Compared found = compared_at(job, pair, y, x);
    means[row][column] = found.mean;
    // Pixels around the tile are written by several blocks: the same value.
    out[2 * pixels + y * size.width + x] = found.difference;
  }
  __syncthreads();
  const int row = threadIdx.x / kWarpColumns, column = threadIdx.x % kWarpColumns;
  const int y = top + row, x = left + column;
  if (y >= size.height || x >= size.width) return;
  const int pixel = y * size.width + x;
  out[pixel] = central(means[row + 1][column], means[row + 1][column + 2]);
  out[pixels + pixel] = central(means[row][column + 1], means[row + 2][column + 1]);
}

}  // namespace
}  // namespace slt_fast::cuda
