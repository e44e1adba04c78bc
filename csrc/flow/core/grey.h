#pragma once

#include <cstdint>

#include "formula.h"

namespace slt_fast {

// ITU-R BT.601 luma in OpenCV's 15-bit fixed point, so grey frames equal cv2.cvtColor's to the bit.
SLT_FAST_FORMULA uint8_t grey(uint8_t red, uint8_t green, uint8_t blue) {
  return static_cast<uint8_t>((9798 * red + 19235 * green + 3735 * blue + 16384) >> 15);
}

}  // namespace slt_fast
