// The search of all patches of a level, with a row of a patch in eight lanes.
#pragma once

#include "../core/patch.h"
#include "plane.h"

namespace slt_fast {
namespace {

// The motions of a level's patches, row by row.
class PatchGrid {
 public:
  void resize(int height, int width, int stride) {
    stride_ = stride;
    rows_ = patches_along(height, stride);
    columns_ = patches_along(width, stride);
    motions_ = buffer_.reserve(static_cast<size_t>(2) * rows_ * columns_);
  }
  Motion motion(int row, int column) const {
    const float* values = motions_ + 2 * (static_cast<ptrdiff_t>(row) * columns_ + column);
    return {values[0], values[1]};
  }
  void set_motion(int row, int column, const Motion& motion) {
    float* values = motions_ + 2 * (static_cast<ptrdiff_t>(row) * columns_ + column);
    values[0] = motion.u;
    values[1] = motion.v;
  }
  int rows() const { return rows_; }
  int columns() const { return columns_; }
  int stride() const { return stride_; }

 private:
  int stride_ = 0, rows_ = 0, columns_ = 0;
  Buffer buffer_;
  float* motions_ = nullptr;
};

struct SearchLevel {
  const Plane *first, *second, *gradient_x, *gradient_y;
  const SplitPlane* coarser_flow;  // null at the coarsest level
};

// The 8x8 pixels and gradients of one patch of the first frame.
struct Patch {
  Lanes value[kPatchSize], x[kPatchSize], y[kPatchSize];
};

SLT_FAST_FORMULA Patch patch_at(const SearchLevel& level, int row, int column) {
  Patch patch;
  for (int y = 0; y < kPatchSize; ++y) {
    patch.value[y] = load(level.first->row(row + y) + column);
    patch.x[y] = load(level.gradient_x->row(row + y) + column);
    patch.y[y] = load(level.gradient_y->row(row + y) + column);
  }
  return patch;
}

SLT_FAST_FORMULA PatchSums sums_of(const Patch& patch) {
  Lanes xx = {}, xy = {}, yy = {}, x = {}, y = {};
  for (int i = 0; i < kPatchSize; ++i) {
    xx += patch.x[i] * patch.x[i];
    xy += patch.x[i] * patch.y[i];
    yy += patch.y[i] * patch.y[i];
    x += patch.x[i];
    y += patch.y[i];
  }
  return {sum_of(xx), sum_of(xy), sum_of(yy), sum_of(x), sum_of(y)};
}

SLT_FAST_FORMULA Motion descended(const Patch& patch, const PatchStep& step, const Plane& second, int row, int column,
                                  const Motion& motion) {
  const Corner corner = patch_corner(row, column, motion, second.height(), second.width());
  const float* pixels = second.row(corner.y) + corner.x;
  Lanes sum_x = {}, sum_y = {};
  Lanes left = load(pixels), right = load(pixels + 1);
  for (int y = 0; y < kPatchSize; ++y) {
    pixels += second.stride();
    const Lanes next_left = load(pixels), next_right = load(pixels + 1);
    const Lanes d = weighted(corner, left, right, next_left, next_right) - patch.value[y];
    sum_x += d * patch.x[y];
    sum_y += d * patch.y[y];
    left = next_left;
    right = next_right;
  }
  return stepped(motion, step, sum_of(sum_x), sum_of(sum_y));
}

// The search of a patch starts at the coarser level's flow at its centre.
inline Motion start_of(const SplitPlane* coarser_flow, int row, int column) {
  if (coarser_flow == nullptr) return {0, 0};
  constexpr int kCentre = kPatchSize / 2;
  const float y = position_on_coarser(static_cast<float>(row + kCentre), 2.0f, coarser_flow->height());
  const float x = position_on_coarser(static_cast<float>(column + kCentre), 2.0f, coarser_flow->width());
  const Motion motion = motion_at(*coarser_flow, y, x);
  return {2.0f * motion.u, 2.0f * motion.v};
}

// The search of one patch, step by step.
class Descent {
 public:
  void start(const SearchLevel& level, int row, int column) {
    row_ = row;
    column_ = column;
    patch_ = patch_at(level, row, column);
    step_ = step_of(sums_of(patch_));
    // A difference that all pixels share then drops out of the sums.
    for (int y = 0; y < kPatchSize; ++y) {
      patch_.x[y] -= step_.mean_x;
      patch_.y[y] -= step_.mean_y;
    }
    start_ = motion_ = start_of(level.coarser_flow, row, column);
  }
  __attribute__((always_inline)) void advance(const Plane& second) {
    motion_ = descended(patch_, step_, second, row_, column_, motion_);
  }
  Motion found() const { return accepted(motion_, start_); }

 private:
  int row_, column_;
  Patch patch_;
  PatchStep step_;
  Motion start_, motion_;
};

// Searches a few patches at once: while one waits for its sums, the processor works on the next.
template <int kCount>
inline void search_together(const SearchLevel& level, int iterations, int patch_row, int patch_column,
                            PatchGrid& grid) {
  Descent descents[kCount];
  for (int k = 0; k < kCount; ++k) {
    descents[k].start(level, patch_row * grid.stride(), (patch_column + k) * grid.stride());
  }
  for (int i = 0; i < iterations; ++i) {
    for (Descent& descent : descents) descent.advance(*level.second);
  }
  for (int k = 0; k < kCount; ++k) grid.set_motion(patch_row, patch_column + k, descents[k].found());
}

// Searches the rows begin..end of the grid.
void search(const SearchLevel& level, int iterations, int begin, int end, PatchGrid& grid) {
  constexpr int kTogether = 2;
  for (int row = begin; row < end; ++row) {
    int column = 0;
    for (; column + kTogether <= grid.columns(); column += kTogether) {
      search_together<kTogether>(level, iterations, row, column, grid);
    }
    for (; column < grid.columns(); ++column) search_together<1>(level, iterations, row, column, grid);
  }
}

}  // namespace
}  // namespace slt_fast
