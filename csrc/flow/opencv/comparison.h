// How well a patch of the first frame fits the second frame at some motion.
#pragma once

#include <algorithm>
#include <cstring>

#include "plane.h"
#include "pyramid.h"
#include "search.h"

namespace slt_fast::opencv {

// Four pixels side by side.
typedef float Quad __attribute__((vector_size(16)));

inline Quad quad_at(const float* pixels) {
  Quad quad;
  std::memcpy(&quad, pixels, sizeof(quad));
  return quad;
}

// In OpenCV's order, for the same rounding.
inline float sum_of(Quad quad) { return (quad[0] + quad[2]) + (quad[1] + quad[3]); }

// The patch of the first frame whose corner is at (y, x).
struct Patch {
  const LevelFrames* frames;
  int y, x;
};

// Four pixels of the second frame and their shares in the value between them.
struct Corner {
  const float* pixels;
  float top_left, top_right, bottom_left, bottom_right;
};

// Patches that leave the frame stop where their last row or column still touches it. Positions are counted from the
// corner of the border, as OpenCV counts them, which decides how they are rounded.
inline Corner corner_at(const Patch& patch, const Motion& motion) {
  const Plane& second = patch.frames->second;
  const float border = static_cast<float>(second.border()), least = border - kPatchSize + 1;
  // Written so that NaN becomes the lower bound.
  const auto inside = [&](float position, int length) {
    return std::min(std::max(least, position), border + static_cast<float>(length) - 1);
  };
  const float y = inside(static_cast<float>(patch.y) + motion.v + border, second.height());
  const float x = inside(static_cast<float>(patch.x) + motion.u + border, second.width());
  const int row = static_cast<int>(y), column = static_cast<int>(x);
  const float down = y - static_cast<float>(row), right = x - static_cast<float>(column);
  const float up = 1 - down, left = 1 - right;
  return {second.row(row - second.border()) + column - second.border(), up * left, up * right, down * left,
          down * right};
}

// The second frame less the first one, for four pixels.
inline Quad difference_of(const Corner& corner, const float* top, const float* bottom, const float* first) {
  return corner.top_left * quad_at(top) + corner.top_right * quad_at(top + 1) + corner.bottom_left * quad_at(bottom) +
         corner.bottom_right * quad_at(bottom + 1) - quad_at(first);
}

// A row of a patch.
struct RowDifference {
  Quad left, right;

  RowDifference(const Patch& patch, const Corner& corner, int y) {
    const float* top = corner.pixels + static_cast<ptrdiff_t>(y) * patch.frames->second.stride();
    const float* bottom = top + patch.frames->second.stride();
    const float* first = patch.frames->first.row(patch.y + y) + patch.x;
    left = difference_of(corner, top, bottom, first);
    right = difference_of(corner, top + 4, bottom + 4, first + 4);
  }
  Quad sum() const { return left + right; }
  Quad squares() const { return left * left + right * right; }
  Quad times(const float* row) const { return left * quad_at(row) + right * quad_at(row + 4); }
};

constexpr float kPixels = kPatchSize * kPatchSize;

// The sum of squares of the differences less their mean.
inline float squared_distance(float squares, float sum) { return squares - sum * sum / kPixels; }

inline float distance(const Patch& patch, const Motion& motion) {
  const Corner corner = corner_at(patch, motion);
  Quad squares = {}, sum = {};
  for (int y = 0; y < kPatchSize; ++y) {
    const RowDifference difference(patch, corner, y);
    squares += difference.squares();
    sum += difference.sum();
  }
  return squared_distance(sum_of(squares), sum_of(sum));
}

struct Slope {
  float distance, x, y;
};

// The distance, and half its derivatives by the motion; the sums are those of the patch's gradients.
inline Slope slope(const Patch& patch, const Motion& motion, float sum_of_x, float sum_of_y) {
  const Corner corner = corner_at(patch, motion);
  Quad squares = {}, sums = {}, by_x = {}, by_y = {};
  for (int y = 0; y < kPatchSize; ++y) {
    const RowDifference difference(patch, corner, y);
    squares += difference.squares();
    sums += difference.sum();
    by_x += difference.times(patch.frames->gradient_x.row(patch.y + y) + patch.x);
    by_y += difference.times(patch.frames->gradient_y.row(patch.y + y) + patch.x);
  }
  const float sum = sum_of(sums);
  return {squared_distance(sum_of(squares), sum), sum_of(by_x) - sum * sum_of_x / kPixels,
          sum_of(by_y) - sum * sum_of_y / kPixels};
}

}  // namespace slt_fast::opencv
