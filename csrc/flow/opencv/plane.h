// What the stages hand to each other: planes of floats.
#pragma once

#include <cstddef>
#include <vector>

namespace slt_fast::opencv {

constexpr int kPatchSize = 8;

// Rows -border..height+border-1 and as many columns can be read; at first all are zero.
class Plane {
 public:
  Plane() = default;
  Plane(int height, int width, int border = 0)
      : height_(height),
        width_(width),
        border_(border),
        stride_(width + 2 * border),
        values_(static_cast<size_t>(stride_) * (height + 2 * border)) {}

  float* row(int y) { return values_.data() + offset(y); }
  const float* row(int y) const { return values_.data() + offset(y); }
  int height() const { return height_; }
  int width() const { return width_; }
  int border() const { return border_; }
  int stride() const { return stride_; }

 private:
  ptrdiff_t offset(int y) const { return static_cast<ptrdiff_t>(y + border_) * stride_ + border_; }

  int height_ = 0, width_ = 0, border_ = 0, stride_ = 0;
  std::vector<float> values_;
};

struct Flow {
  Plane u, v;
};

}  // namespace slt_fast::opencv
