// One frame at every level.
#pragma once

#include "../core/interpolation.h"
#include "../core/settings.h"
#include "plane.h"

namespace slt_fast {
namespace {

class Pyramid {
 public:
  void build(const uint8_t* grey, int height, int width, int coarsest) {
    Plane& full = levels_[0];
    full.resize(height, width);
    for (int y = 0; y < height; ++y) {
      const uint8_t* from = grey + static_cast<ptrdiff_t>(y) * width;
      float* to = full.row(y);
      for (int x = 0; x < width; ++x) to[x] = static_cast<float>(from[x]);
    }
    full.repeat_border();
    for (int level = 1; level <= coarsest; ++level) halve(levels_[level - 1], levels_[level]);
  }

  const Plane& operator[](int level) const { return levels_[level]; }

 private:
  static void halve(const Plane& fine, Plane& coarse) {
    coarse.resize(fine.height() / 2, fine.width() / 2);
    for (int y = 0; y < coarse.height(); ++y) {
      const float *top = fine.row(2 * y), *bottom = fine.row(2 * y + 1);
      float* out = coarse.row(y);
      for (int x = 0; x < coarse.width(); ++x) {
        out[x] = halved(top[2 * x], top[2 * x + 1], bottom[2 * x], bottom[2 * x + 1]);
      }
    }
    coarse.repeat_border();
  }

  Plane levels_[kMaxLevels];
};

// Writes the derivatives of the rows begin..end of an image with a repeated border.
void gradients(const Plane& image, int begin, int end, Plane& gradient_x, Plane& gradient_y) {
  for (int y = begin; y < end; ++y) {
    const float *above = image.row(y - 1), *row = image.row(y), *below = image.row(y + 1);
    float *to_x = gradient_x.row(y), *to_y = gradient_y.row(y);
#pragma GCC ivdep
    for (int x = 0; x < image.width(); ++x) {
      to_x[x] = sobel(above[x - 1], above[x + 1], row[x - 1], row[x + 1], below[x - 1], below[x + 1]);
      to_y[x] = sobel(above[x - 1], below[x - 1], above[x], below[x], above[x + 1], below[x + 1]);
    }
  }
}

}  // namespace
}  // namespace slt_fast
