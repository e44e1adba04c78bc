// Linear interpolation as OpenCV's vector code does it.
#pragma once

namespace slt_fast::opencv {

// from + share * (to - from), rounded as if by one fused multiplication and addition: doubles hold the product of two
// floats exactly, and not every processor has the fused instruction.
inline float between(float from, float to, float share) {
  const float difference = to - from;
  return static_cast<float>(static_cast<double>(share) * difference + from);
}

}  // namespace slt_fast::opencv
