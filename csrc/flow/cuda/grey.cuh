#pragma once

#include "../core/grey.h"
#include "launch.cuh"

namespace slt_fast::cuda {
namespace {

struct GreyJob {
  const uint8_t* rgb;  // [pixels, 3]
  int64_t pixels;
  uint8_t* grey;
};

__global__ void __launch_bounds__(kPixelThreads) grey_kernel(GreyJob job) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kPixelThreads + threadIdx.x;
  if (i < job.pixels) job.grey[i] = grey(job.rgb[3 * i], job.rgb[3 * i + 1], job.rgb[3 * i + 2]);
}

}  // namespace
}  // namespace slt_fast::cuda
