// The second frame, warped onto the first by the flow, and the first derivatives of the two.
#pragma once

#include "launch.cuh"
#include "sample.cuh"

namespace slt_fast::cuda {
namespace {

constexpr int kWarpRows = 8, kWarpColumns = 32;
constexpr int kWarpThreads = kWarpRows * kWarpColumns;

struct WarpJob {
  Frames frames;
  const float2* flow;  // [pairs, height, width]
  // [pairs, height, width]: the derivative of the frames' mean by x with their difference, and the derivative by y.
  float2* across;
  float* down;
};

__device__ __forceinline__ Compared compared_at(const WarpJob& job, int64_t pair, int y, int x) {
  const int pixel = y * job.frames.size.width + x;
  const float2 flow = job.flow[pair * job.frames.size.pixels() + pixel];
  const float warped =
      warped_at(job.frames.second(pair), static_cast<float>(y) + flow.y, static_cast<float>(x) + flow.x);
  return compared(job.frames.first(pair).values[pixel], warped);
}

// One block for each tile, which shared memory holds with a halo of one pixel.
__global__ void __launch_bounds__(kWarpThreads) warp_kernel(WarpJob job) {
  __shared__ float means[kWarpRows + 2][kWarpColumns + 2], differences[kWarpRows + 2][kWarpColumns + 2];
  const Size size = job.frames.size;
  const int64_t pair = blockIdx.z;
  const int top = blockIdx.y * kWarpRows, left = blockIdx.x * kWarpColumns;
  for (int i = threadIdx.x; i < (kWarpRows + 2) * (kWarpColumns + 2); i += kWarpThreads) {
    const int row = i / (kWarpColumns + 2), column = i % (kWarpColumns + 2);
    const int y = clamped_index(top + row - 1, size.height), x = clamped_index(left + column - 1, size.width);
    const Compared found = compared_at(job, pair, y, x);
    means[row][column] = found.mean;
    differences[row][column] = found.difference;
  }
  __syncthreads();
  const int row = threadIdx.x / kWarpColumns + 1, column = threadIdx.x % kWarpColumns + 1;
  const int y = top + row - 1, x = left + column - 1;
  if (y >= size.height || x >= size.width) return;
  const int64_t i = pair * size.pixels() + y * size.width + x;
  job.across[i] = {central(means[row][column - 1], means[row][column + 1]), differences[row][column]};
  job.down[i] = central(means[row - 1][column], means[row + 1][column]);
}

}  // namespace
}  // namespace slt_fast::cuda
