// Launches kernels that take one structure.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace slt_fast::cuda {

// Threads of the kernels that work pixel by pixel.
constexpr int kPixelThreads = 256;
// The limit of a grid's second and third axes, minus one: a clip has one more frame than pairs.
constexpr int64_t kMaxPairsOfLaunch = 65534;

inline int64_t whole_parts(int64_t count, int64_t size) { return (count + size - 1) / size; }

// Returns a grid whose blocks along x share the pixels of a plane.
inline dim3 blocks_over(int64_t pixels, int64_t planes) {
  return dim3(static_cast<unsigned>(whole_parts(pixels, kPixelThreads)), static_cast<unsigned>(planes));
}

template <class Job>
void launch(void (*kernel)(Job), dim3 blocks, int threads, cudaStream_t stream, Job job) {
  void* arguments[] = {&job};
  const cudaError_t error = cudaLaunchKernel(kernel, blocks, dim3(threads), arguments, 0, stream);
  if (error == cudaSuccess) return;
  // Clears the error; otherwise a later call would report it again.
  static_cast<void>(cudaGetLastError());
  throw std::runtime_error(std::string("optical flow: a kernel cannot be launched: ") + cudaGetErrorString(error));
}

}  // namespace slt_fast::cuda
