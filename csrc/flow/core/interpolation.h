// Values between pixels.
#pragma once

#include "formula.h"

namespace slt_fast {

// NaN becomes the lower bound, so the result can be converted to an integer.
SLT_FAST_FORMULA float clamped(float value, float low, float high) {
  value = value > low ? value : low;
  return value < high ? value : high;
}

// The pixel above and to the left of a position, and the weights of the four around the position.
struct Corner {
  int y, x;
  float top_left, top_right, bottom_left, bottom_right;
};

// y and x are at least -8.
SLT_FAST_FORMULA Corner corner_of(float y, float x) {
  const int row = static_cast<int>(y + 8) - 8, column = static_cast<int>(x + 8) - 8;
  const float down = y - static_cast<float>(row), right = x - static_cast<float>(column);
  return {row, column, (1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right};
}

template <class Real>
SLT_FAST_FORMULA Real weighted(const Corner& corner, Real top_left, Real top_right, Real bottom_left,
                               Real bottom_right) {
  return corner.top_left * top_left + corner.top_right * top_right + corner.bottom_left * bottom_left +
         corner.bottom_right * bottom_right;
}

// The value between four pixels, `right` and `down` from the first one.
SLT_FAST_FORMULA float between(float top_left, float top_right, float bottom_left, float bottom_right, float right,
                               float down) {
  const float top = top_left + right * (top_right - top_left);
  const float bottom = bottom_left + right * (bottom_right - bottom_left);
  return top + down * (bottom - top);
}

// The position on a coarser level of a pixel; `scale` is the finer over the coarser resolution.
SLT_FAST_FORMULA float position_on_coarser(float pixel, float scale, int length) {
  return clamped((pixel + 0.5f) / scale - 0.5f, 0.0f, static_cast<float>(length - 1));
}

// Mean of four pixels: one pixel of the next level.
SLT_FAST_FORMULA float halved(float top_left, float top_right, float bottom_left, float bottom_right) {
  return 0.25f * (top_left + top_right + bottom_left + bottom_right);
}

// Sobel's derivative across the middle of three lines, in units of one pixel.
template <class Real>
SLT_FAST_FORMULA Real sobel(Real before0, Real after0, Real before1, Real after1, Real before2, Real after2) {
  return 0.125f * ((after0 - before0) + 2.0f * (after1 - before1) + (after2 - before2));
}

// Half the difference of the two neighbours: the derivative between them.
template <class Real>
SLT_FAST_FORMULA Real central(Real before, Real after) {
  return 0.5f * (after - before);
}

// The mean of the first frame and the warped second frame at a pixel, and their difference.
struct Compared {
  float mean, difference;
};

SLT_FAST_FORMULA Compared compared(float first, float warped) { return {0.5f * (first + warped), warped - first}; }

}  // namespace slt_fast
