// From patches to pixels: each pixel takes the weighted mean of the motions of all patches that cover it, summed in the
// CPU's order.
#pragma once

#include "search.cuh"

namespace slt_fast::cuda {
namespace {

struct DensifyJob {
  Frames frames;
  const Motion* motions;  // [pairs, grid rows, grid columns]
  Grid grid;
  float2* flow;  // [pairs, height, width]
};

__global__ void __launch_bounds__(kPixelThreads) densify_kernel(DensifyJob job) {
  const Size size = job.frames.size;
  const int pixel = blockIdx.x * kPixelThreads + threadIdx.x;
  if (pixel >= size.pixels()) return;
  const int64_t pair = blockIdx.y;
  const int y = pixel / size.width, x = pixel % size.width;
  const float value = job.frames.first(pair).values[pixel];
  const Plane<float> second = job.frames.second(pair);
  const Covering rows = covering(y, job.grid.stride, job.grid.rows);
  const Covering columns = covering(x, job.grid.stride, job.grid.columns);
  float u = 0, v = 0, sum = 0;
  for (int row = rows.first; row <= rows.last; ++row) {
    const Motion* motions = job.motions + pair * job.grid.patches() + static_cast<int64_t>(row) * job.grid.columns;
    for (int column = columns.first; column <= columns.last; ++column) {
      const Motion motion = motions[column];
      const float at_y = inner_position(static_cast<float>(y) + motion.v, size.height);
      const float at_x = inner_position(static_cast<float>(x) + motion.u, size.width);
      const float weight = motion_weight(value_at(second, at_y, at_x) - value);
      u += weight * motion.u;
      v += weight * motion.v;
      sum += weight;
    }
  }
  const float inverse = 1.0f / sum;
  job.flow[pair * size.pixels() + pixel] = {u * inverse, v * inverse};
}

}  // namespace
}  // namespace slt_fast::cuda
