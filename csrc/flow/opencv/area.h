// cv2.resize with INTER_AREA for grey images that become smaller, equal to the bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace slt_fast::opencv {

class GreyImage {
 public:
  GreyImage(int height, int width) : height_(height), width_(width), values_(static_cast<size_t>(height) * width) {}

  uint8_t* row(int y) { return values_.data() + static_cast<ptrdiff_t>(y) * width_; }
  const uint8_t* row(int y) const { return values_.data() + static_cast<ptrdiff_t>(y) * width_; }
  int height() const { return height_; }
  int width() const { return width_; }

 private:
  int height_, width_;
  std::vector<uint8_t> values_;
};

GreyImage shrunk(const uint8_t* image, int height, int width, int to_height, int to_width);

}  // namespace slt_fast::opencv
