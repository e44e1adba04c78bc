// Launches of kernels, each of which takes one structure.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace slt_fast::cuda {

// Threads of the kernels that work pixel by pixel.
constexpr int kPixelThreads = 256;
// With one more frame than pairs: the limit of a grid's second and third axes.
constexpr int64_t kMaxPairsOfLaunch = 65534;

inline int64_t whole_parts(int64_t count, int64_t size) { return (count + size - 1) / size; }

// A grid of which the blocks along x share the pixels of a plane.
inline dim3 blocks_over(int64_t pixels, int64_t planes) {
  return dim3(static_cast<unsigned>(whole_parts(pixels, kPixelThreads)), static_cast<unsigned>(planes));
}

template <class Job>
void launch(void (*kernel)(Job), dim3 blocks, int threads, cudaStream_t stream, Job job) {
  void* arguments[] = {&job};
  const cudaError_t error = cudaLaunchKernel(kernel, blocks, dim3(threads), arguments, 0, stream);
  if (error == cudaSuccess) return;
  // Another call would tell of it again.
  static_cast<void>(cudaGetLastError());
  throw std::runtime_error(std::string("optical flow: a kernel cannot be launched: ") + cudaGetErrorString(error));
}

}  // namespace slt_fast::cuda
