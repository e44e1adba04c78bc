// The frames of a clip at every level.
#pragma once

#include "../core/interpolation.h"
#include "launch.cuh"
#include "plane.cuh"

namespace slt_fast::cuda {
namespace {

struct FloatJob {
  const uint8_t* grey;  // [frames, height, width]
  Size size;
  float* out;  // the same shape
};

__global__ void __launch_bounds__(kPixelThreads) float_kernel(FloatJob job) {
  const int64_t pixel = static_cast<int64_t>(blockIdx.x) * kPixelThreads + threadIdx.x;
  if (pixel >= job.size.pixels()) return;
  const int64_t i = blockIdx.y * job.size.pixels() + pixel;
  job.out[i] = static_cast<float>(job.grey[i]);
}

struct HalveJob {
  const float* fine;  // [frames, fine height, fine width]
  Size fine_size, size;
  float* out;  // [frames, height, width]
};

__global__ void __launch_bounds__(kPixelThreads) halve_kernel(HalveJob job) {
  const int pixel = blockIdx.x * kPixelThreads + threadIdx.x;
  if (pixel >= job.size.pixels()) return;
  const int y = pixel / job.size.width, x = pixel % job.size.width;
  const float* top = job.fine + blockIdx.y * job.fine_size.pixels() + 2 * y * job.fine_size.width + 2 * x;
  const float* bottom = top + job.fine_size.width;
  job.out[blockIdx.y * job.size.pixels() + pixel] = halved(top[0], top[1], bottom[0], bottom[1]);
}

}  // namespace
}  // namespace slt_fast::cuda
