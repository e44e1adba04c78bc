// Torch-free core: the formulas of the flow, one source for the CPU and the GPU.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define SLT_FAST_HOST_DEVICE __host__ __device__
#else
#define SLT_FAST_HOST_DEVICE
#endif

namespace slt_fast {

// ITU-R BT.601 luma in OpenCV's 15-bit fixed point, so that grey frames equal cv2.cvtColor's to the bit.
SLT_FAST_HOST_DEVICE inline uint8_t grey(uint8_t red, uint8_t green, uint8_t blue) {
  return static_cast<uint8_t>((9798 * red + 19235 * green + 3735 * blue + 16384) >> 15);
}

}  // namespace slt_fast
