// The search of all patches of a level: eight lanes a patch, one column in each lane.
//
// The lanes of a row read neighbours in memory, and sums over rows and lanes follow the CPU's order.
#pragma once

#include "../core/patch.h"
#include "launch.cuh"
#include "sample.cuh"

namespace slt_fast::cuda {
namespace {

constexpr int kSearchThreads = 256;
constexpr int kPatchesOfBlock = kSearchThreads / kPatchSize;

// Patches of a level.
struct Grid {
  int rows, columns, stride;
  __host__ __device__ int64_t patches() const { return static_cast<int64_t>(rows) * columns; }
};

struct SearchJob {
  Frames frames;
  const float2* coarser_flow;  // [pairs, height, width]; null at the coarsest level
  Size coarser_size;
  Grid grid;
  int iterations;
  Motion* motions;  // [pairs, grid rows, grid columns]
};

// Returns the sum over the lanes of a patch, to each of them.
__device__ __forceinline__ float sum_of_lanes(float value) {
  constexpr unsigned kAllLanes = 0xffffffff;
  value += __shfl_xor_sync(kAllLanes, value, 4);
  value += __shfl_xor_sync(kAllLanes, value, 2);
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value;
}

// One column of a patch of the first frame: pixels and gradients.
struct PatchColumn {
  float value[kPatchSize], x[kPatchSize], y[kPatchSize];
};

struct Triple {
  float left, centre, right;
};

__device__ __forceinline__ Triple triple_at(const Plane<float>& image, int y, int left, int centre, int right) {
  const float* row = image.values + image.row(y);
  return {row[left], row[centre], row[right]};
}

__device__ __forceinline__ PatchColumn column_at(const Plane<float>& image, int row, int x) {
  const int left = image.column(x - 1), right = image.column(x + 1);
  PatchColumn column;
  Triple above = triple_at(image, row - 1, left, x, right), here = triple_at(image, row, left, x, right);
#pragma unroll
  for (int i = 0; i < kPatchSize; ++i) {
    const Triple below = triple_at(image, row + i + 1, left, x, right);
    column.value[i] = here.centre;
    column.x[i] = sobel(above.left, above.right, here.left, here.right, below.left, below.right);
    column.y[i] = sobel(above.left, below.left, above.centre, below.centre, above.right, below.right);
    above = here;
    here = below;
  }
  return column;
}

__device__ __forceinline__ PatchSums sums_of(const PatchColumn& column) {
  float xx = 0, xy = 0, yy = 0, x = 0, y = 0;
#pragma unroll
  for (int i = 0; i < kPatchSize; ++i) {
    xx += column.x[i] * column.x[i];
    xy += column.x[i] * column.y[i];
    yy += column.y[i] * column.y[i];
    x += column.x[i];
    y += column.y[i];
  }
  return {sum_of_lanes(xx), sum_of_lanes(xy), sum_of_lanes(yy), sum_of_lanes(x), sum_of_lanes(y)};
}

__device__ __forceinline__ Motion descended(const PatchColumn& patch, const PatchStep& step, const Plane<float>& second,
                                            int row, int column, int lane, const Motion& motion) {
  const Corner corner = patch_corner(row, column, motion, second.size.height, second.size.width);
  const int at_left = second.column(corner.x + lane), at_right = second.column(corner.x + lane + 1);
  const float* pixels = second.values + second.row(corner.y);
  float left = pixels[at_left], right = pixels[at_right];
  float sum_x = 0, sum_y = 0;
#pragma unroll
  for (int i = 0; i < kPatchSize; ++i) {
    pixels = second.values + second.row(corner.y + i + 1);
    const float next_left = pixels[at_left], next_right = pixels[at_right];
    const float d = weighted(corner, left, right, next_left, next_right) - patch.value[i];
    sum_x += d * patch.x[i];
    sum_y += d * patch.y[i];
    left = next_left;
    right = next_right;
  }
  return stepped(motion, step, sum_of_lanes(sum_x), sum_of_lanes(sum_y));
}

// The search of a patch starts at the coarser level's flow at its centre.
__device__ __forceinline__ Motion start_of(const SearchJob& job, int64_t pair, int row, int column) {
  if (job.coarser_flow == nullptr) return {0, 0};
  constexpr int kCentre = kPatchSize / 2;
  const Plane<float2> flow = {job.coarser_flow + pair * job.coarser_size.pixels(), job.coarser_size};
  const float y = position_on_coarser(static_cast<float>(row + kCentre), 2.0f, flow.size.height);
  const float x = position_on_coarser(static_cast<float>(column + kCentre), 2.0f, flow.size.width);
  const float2 found = value_at(flow, y, x);
  return {2.0f * found.x, 2.0f * found.y};
}

__global__ void __launch_bounds__(kSearchThreads, 4) search_kernel(SearchJob job) {
  const int lane = threadIdx.x % kPatchSize;
  const int64_t pair = blockIdx.y, patches = job.grid.patches();
  const int64_t wanted = static_cast<int64_t>(blockIdx.x) * kPatchesOfBlock + threadIdx.x / kPatchSize;
  // Lanes without a patch repeat the last one, because all lanes of a warp take part in its sums.
  const int patch = static_cast<int>(wanted < patches ? wanted : patches - 1);
  const int row = patch / job.grid.columns * job.grid.stride, column = patch % job.grid.columns * job.grid.stride;
  PatchColumn own = column_at(job.frames.first(pair), row, column + lane);
  const PatchStep step = step_of(sums_of(own));
  // A difference that all pixels share then drops out of the sums.
#pragma unroll
  for (int i = 0; i < kPatchSize; ++i) {
    own.x[i] -= step.mean_x;
    own.y[i] -= step.mean_y;
  }
  const Plane<float> second = job.frames.second(pair);
  const Motion start = start_of(job, pair, row, column);
  Motion motion = start;
  for (int i = 0; i < job.iterations; ++i) motion = descended(own, step, second, row, column, lane, motion);
  if (lane == 0 && wanted < patches) job.motions[pair * patches + patch] = accepted(motion, start);
}

}  // namespace
}  // namespace slt_fast::cuda
