// The finest level's flow at the frames' size.
#pragma once

#include "launch.cuh"
#include "sample.cuh"

namespace slt_fast::cuda {
namespace {

struct EnlargeJob {
  const float* flow;  // [pairs, 2, height, width] of the finest level
  Size flow_size, size;
  float scale;  // of the frames' resolution over the level's
  float* out;   // [pairs, 2, height, width]
};

// The grid's second axis is the pair, the third one the component.
__global__ void __launch_bounds__(kPixelThreads) enlarge_kernel(EnlargeJob job) {
  const int pixel = blockIdx.x * kPixelThreads + threadIdx.x;
  if (pixel >= job.size.pixels()) return;
  const int64_t plane = 2 * static_cast<int64_t>(blockIdx.y) + blockIdx.z;
  const Plane flow = {job.flow + plane * job.flow_size.pixels(), job.flow_size};
  const float y = position_on_coarser(static_cast<float>(pixel / job.size.width), job.scale, job.flow_size.height);
  const float x = position_on_coarser(static_cast<float>(pixel % job.size.width), job.scale, job.flow_size.width);
  job.out[plane * job.size.pixels() + pixel] = job.scale * value_at(flow, y, x);
}

}  // namespace
}  // namespace slt_fast::cuda
