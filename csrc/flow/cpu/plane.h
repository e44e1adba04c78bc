// Planes of floats with padding, so whole blocks of lanes can be read without checks at the border.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "../core/interpolation.h"
#include "../core/patch.h"
#include "../core/settings.h"
#include "lanes.h"

namespace slt_fast {
namespace {

// Memory that is kept between pairs. It starts as zeros, so lanes beyond a row are always finite.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() { std::free(values_); }

  float* reserve(size_t count) {
    if (count > count_) {
      std::free(values_);
      count_ = 0;
      const size_t bytes = (count * sizeof(float) + 63) / 64 * 64;
      values_ = static_cast<float*>(std::aligned_alloc(64, bytes));
      if (values_ == nullptr) throw std::bad_alloc();
      std::memset(values_, 0, bytes);
      count_ = count;
    }
    return values_;
  }

 private:
  void swap(Buffer& other) {
    std::swap(values_, other.values_);
    std::swap(count_, other.count_);
  }

  float* values_ = nullptr;
  size_t count_ = 0;
};

SLT_FAST_FORMULA int whole_blocks(int count) { return (count + kLanes - 1) / kLanes * kLanes; }

// Rounds up to an odd number of blocks: rows a power of two apart would share a few cache lines.
SLT_FAST_FORMULA int odd_blocks(int count) {
  const int rounded = whole_blocks(count);
  return rounded / kLanes % 2 == 1 ? rounded : rounded + kLanes;
}

// An image with its border pixels repeated eight times on each side.
class Plane {
 public:
  static constexpr int kBorder = kPatchSize;

  void resize(int height, int width) {
    height_ = height;
    width_ = width;
    stride_ = odd_blocks(width + 2 * kBorder + kLanes);
    origin_ = buffer_.reserve(static_cast<size_t>(stride_) * (height + 2 * kBorder)) + kBorder * stride_ + kBorder;
  }

  void repeat_border() {
    for (int y = 0; y < height_; ++y) {
      float* values = row(y);
      std::fill(values - kBorder, values, values[0]);
      std::fill(values + width_, values + width_ + kBorder, values[width_ - 1]);
    }
    const size_t bytes = sizeof(float) * (width_ + 2 * kBorder);
    for (int k = 1; k <= kBorder; ++k) {
      std::memcpy(row(-k) - kBorder, row(0) - kBorder, bytes);
      std::memcpy(row(height_ - 1 + k) - kBorder, row(height_ - 1) - kBorder, bytes);
    }
  }

  float* row(int y) const { return origin_ + static_cast<ptrdiff_t>(y) * stride_; }
  int height() const { return height_; }
  int width() const { return width_; }
  int stride() const { return stride_; }

 private:
  int height_ = 0, width_ = 0, stride_ = 0;
  Buffer buffer_;
  float* origin_ = nullptr;
};

// Planes that store even and odd columns separately: the left and right neighbours of eight red pixels are then eight
// contiguous black pixels. The components (u, v) of a row are adjacent. A row of zeros lies above and below.
class SplitPlane {
 public:
  void resize(int height, int width, int components = 1) {
    height_ = height;
    width_ = width;
    components_ = components;
    half_stride_ = odd_blocks(kFront + (width + 1) / 2 + 1);
    const size_t rows = static_cast<size_t>(height + 2) * components;
    origin_ = buffer_.reserve(rows * 2 * half_stride_ + kLanes) + row_stride() + kFront;
    std::memset(half(-1, 0) - kFront, 0, sizeof(float) * row_stride());
    std::memset(half(height, 0) - kFront, 0, sizeof(float) * row_stride());
  }

  // The pixels of row y in the even (parity 0) or odd (parity 1) columns.
  float* half(int y, int parity, int component = 0) const {
    return origin_ + (static_cast<ptrdiff_t>(y) * components_ + component) * 2 * half_stride_ + parity * half_stride_;
  }
  // The offset of column x from a row's first pixel.
  ptrdiff_t offset(int x) const { return static_cast<ptrdiff_t>(x & 1) * half_stride_ + (x >> 1); }
  int count(int parity) const { return (width_ + 1 - parity) / 2; }
  int blocks(int parity) const { return (count(parity) + kLanes - 1) / kLanes; }

  void repeat_sides(int y, int component = 0) {
    float *even = half(y, 0, component), *odd = half(y, 1, component);
    odd[-1] = even[0];
    if (width_ % 2 == 1) {
      odd[width_ / 2] = even[width_ / 2];
    } else {
      even[width_ / 2] = odd[width_ / 2 - 1];
    }
  }

  void clear_rows(int begin, int end) {
    std::memset(half(begin, 0) - kFront, 0, sizeof(float) * row_stride() * (end - begin));
  }

  int height() const { return height_; }
  int width() const { return width_; }
  // The offset from a value to the same pixel's next component.
  ptrdiff_t component_stride() const { return 2 * half_stride_; }

 private:
  static constexpr int kFront = kLanes;
  size_t row_stride() const { return static_cast<size_t>(2) * half_stride_ * components_; }

  int height_ = 0, width_ = 0, components_ = 1, half_stride_ = 0;
  Buffer buffer_;
  float* origin_ = nullptr;
};

// The flow at a position inside its plane.
inline Motion motion_at(const SplitPlane& flow, float y, float x) {
  const Corner corner = corner_of(y, x);
  const int below = std::min(corner.y + 1, flow.height() - 1), right = std::min(corner.x + 1, flow.width() - 1);
  const ptrdiff_t to_left = flow.offset(corner.x), to_right = flow.offset(right), to_v = flow.component_stride();
  const float *top = flow.half(corner.y, 0), *bottom = flow.half(below, 0);
  return {weighted(corner, top[to_left], top[to_right], bottom[to_left], bottom[to_right]),
          weighted(corner, top[to_left + to_v], top[to_right + to_v], bottom[to_left + to_v], bottom[to_right + to_v])};
}

// A half row, and the half rows with the neighbours of its pixels at the same index. sides[i] is the left neighbour and
// sides[i + 1] the right one.
struct HalfRows {
  const float *centre, *sides, *up, *down;
};

inline HalfRows half_rows(const SplitPlane& plane, int y, int above, int below, int parity) {
  return {plane.half(y, parity), plane.half(y, 1 - parity) - (1 - parity), plane.half(above, parity),
          plane.half(below, parity)};
}

// The same, with the rows of the border repeated.
inline HalfRows half_rows(const SplitPlane& plane, int y, int parity) {
  return half_rows(plane, y, std::max(y - 1, 0), std::min(y + 1, plane.height() - 1), parity);
}

}  // namespace
}  // namespace slt_fast
