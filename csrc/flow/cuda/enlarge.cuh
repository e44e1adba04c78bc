// The result: the finest level's flow at the frames' size, with u and v in separate planes.
#pragma once

#include "launch.cuh"
#include "sample.cuh"

namespace slt_fast::cuda {
namespace {

struct EnlargeJob {
  const float2* flow;  // [pairs, height, width] of the finest level
  Size flow_size, size;
  float scale;  // frames' resolution over the level's; 1 leaves values unchanged
  float* out;   // [pairs, 2, height, width]
};

__global__ void __launch_bounds__(kPixelThreads) enlarge_kernel(EnlargeJob job) {
  const int pixel = blockIdx.x * kPixelThreads + threadIdx.x;
  if (pixel >= job.size.pixels()) return;
  const int64_t pair = blockIdx.y;
  const Plane<float2> flow = {job.flow + pair * job.flow_size.pixels(), job.flow_size};
  const float y = position_on_coarser(static_cast<float>(pixel / job.size.width), job.scale, job.flow_size.height);
  const float x = position_on_coarser(static_cast<float>(pixel % job.size.width), job.scale, job.flow_size.width);
  const float2 found = value_at(flow, y, x);
  float* out = job.out + 2 * pair * job.size.pixels() + pixel;
  out[0] = job.scale * found.x;
  out[job.size.pixels()] = job.scale * found.y;
}

}  // namespace
}  // namespace slt_fast::cuda
