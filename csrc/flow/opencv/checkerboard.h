// Planes whose pixels lie apart by colour: those whose row + column is even (red, 0) and the others (black, 1). Over-
// relaxation takes one colour after the other, and the neighbours of a run of red pixels are runs of black ones.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "plane.h"

namespace slt_fast::opencv {

// Around the image lies one pixel of border, at first zero.
class Checkerboard {
 public:
  Checkerboard(int height, int width)
      : height_(height),
        width_(width),
        half_stride_((width + 1) / 2 + 2),
        values_(static_cast<size_t>(2 * half_stride_) * (height + 2)) {}

  // The pixels of one colour in row y; the first one is in column first_column(y, colour).
  float* half(int y, int colour) { return values_.data() + offset(y, colour); }
  const float* half(int y, int colour) const { return values_.data() + offset(y, colour); }

  static int first_column(int y, int colour) { return (y + colour) & 1; }
  int count(int y, int colour) const { return (width_ + 1 - first_column(y, colour)) / 2; }
  int height() const { return height_; }
  int width() const { return width_; }

  void set_row(int y, const float* row) {
    for (int colour = 0; colour < 2; ++colour) {
      const float* from = row + first_column(y, colour);
      float* to = half(y, colour);
      for (int i = 0; i < count(y, colour); ++i) to[i] = from[2 * i];
    }
  }

  // Beyond the right and the lower end lie copies of the last column and row.
  void repeat_ends() {
    for (int y = 0; y < height_; ++y) {
      const int colour = (y + width_ - 1) & 1;
      half(y, 1 - colour)[width_ / 2] = half(y, colour)[(width_ - 1) / 2];
    }
    for (int colour = 0; colour < 2; ++colour) {
      std::copy_n(half(height_ - 1, colour), half_stride_ - 1, half(height_, 1 - colour));
    }
  }

 private:
  ptrdiff_t offset(int y, int colour) const { return (static_cast<ptrdiff_t>(y + 1) * 2 + colour) * half_stride_ + 1; }

  int height_, width_, half_stride_;
  std::vector<float> values_;
};

// The pixels of one colour in a row, and next to each of them its neighbours, which are of the other colour.
struct Neighbourhood {
  const float *centre, *left, *right, *up, *down;
};

inline Neighbourhood neighbourhood(const Checkerboard& plane, int y, int colour) {
  const float* other = plane.half(y, 1 - colour) + Checkerboard::first_column(y, colour);
  return {plane.half(y, colour), other - 1, other, plane.half(y - 1, 1 - colour), plane.half(y + 1, 1 - colour)};
}

}  // namespace slt_fast::opencv
