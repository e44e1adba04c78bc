// From patches to pixels: each pixel takes the weighted mean of the motions of all patches that cover it.
#pragma once

#include "../core/patch.h"
#include "plane.h"
#include "search.h"

namespace slt_fast {
namespace {

// Sums over the patches added so far: weight * u, weight * v, weight.
struct MotionSums {
  Plane u, v, weight;

  void resize(int height, int width) {
    for (Plane* plane : {&u, &v, &weight}) plane->resize(height, width);
  }
  void clear_row(int y) {
    for (Plane* plane : {&u, &v, &weight}) std::fill_n(plane->row(y), plane->width(), 0.0f);
  }
};

// A patch with all rows and columns that it covers: the last patch of a side also covers the rest of the side.
struct Reach {
  int top, bottom, left, right;
  Motion motion;
};

struct RowRange {
  int begin, end;
};

SLT_FAST_FORMULA void add_lanes(float* sums, Lanes values) { store(sums, load(sums) + values); }

// For a patch of eight columns that stays inside the second frame: all its pixels share the interpolation weights.
inline void add_inner_patch(const Plane& first, const Plane& second, const Reach& patch, RowRange rows,
                            MotionSums& sums) {
  const Corner corner =
      corner_of(static_cast<float>(patch.top) + patch.motion.v, static_cast<float>(patch.left) + patch.motion.u);
  const float* pixels = second.row(corner.y + rows.begin - patch.top) + corner.x;
  const float* values = first.row(rows.begin) + patch.left;
  float *u = sums.u.row(rows.begin) + patch.left, *v = sums.v.row(rows.begin) + patch.left;
  float* weights = sums.weight.row(rows.begin) + patch.left;
  const Lanes one = Lanes{} + 1.0f;
  Lanes left = load(pixels), right = load(pixels + 1);
  for (int y = rows.begin; y < rows.end; ++y) {
    pixels += second.stride();
    const Lanes next_left = load(pixels), next_right = load(pixels + 1);
    const Lanes warped = weighted(corner, left, right, next_left, next_right);
    const Lanes difference = warped - load(values);
    const Lanes weight = 1.0f / larger(larger(difference, -difference), one);
    add_lanes(u, weight * patch.motion.u);
    add_lanes(v, weight * patch.motion.v);
    add_lanes(weights, weight);
    values += first.stride();
    u += sums.u.stride();
    v += sums.v.stride();
    weights += sums.weight.stride();
    left = next_left;
    right = next_right;
  }
}

inline void add_border_patch(const Plane& first, const Plane& second, const Reach& patch, RowRange rows,
                             MotionSums& sums) {
  for (int y = rows.begin; y < rows.end; ++y) {
    const float at_y = inner_position(static_cast<float>(y) + patch.motion.v, second.height());
    for (int x = patch.left; x < patch.right; ++x) {
      const float at_x = inner_position(static_cast<float>(x) + patch.motion.u, second.width());
      const Corner corner = corner_of(at_y, at_x);
      const float* pixels = second.row(corner.y) + corner.x;
      const float* below = pixels + second.stride();
      const float warped = weighted(corner, pixels[0], pixels[1], below[0], below[1]);
      const float weight = motion_weight(warped - first.row(y)[x]);
      sums.u.row(y)[x] += weight * patch.motion.u;
      sums.v.row(y)[x] += weight * patch.motion.v;
      sums.weight.row(y)[x] += weight;
    }
  }
}

inline bool stays_inside(const Reach& patch, int height, int width) {
  const auto is_inner = [](int begin, int end, float motion, int length) {
    return static_cast<float>(begin) + motion >= 0 &&
           static_cast<float>(end - 1) + motion <= static_cast<float>(length - 1) - 1e-3f;
  };
  return is_inner(patch.left, patch.right, patch.motion.u, width) &&
         is_inner(patch.top, patch.bottom, patch.motion.v, height);
}

inline void mean_row(const MotionSums& sums, int y, SplitPlane& flow) {
  for (int parity = 0; parity < 2; ++parity) {
    const float *u = sums.u.row(y) + parity, *v = sums.v.row(y) + parity, *weight = sums.weight.row(y) + parity;
    float *to_u = flow.half(y, parity, 0), *to_v = flow.half(y, parity, 1);
#pragma GCC ivdep
    for (int i = 0; i < flow.count(parity); ++i) {
      const float inverse = 1.0f / weight[2 * i];
      to_u[i] = u[2 * i] * inverse;
      to_v[i] = v[2 * i] * inverse;
    }
  }
  flow.repeat_sides(y, 0);
  flow.repeat_sides(y, 1);
}

// Fills the rows begin..end of the flow. The order of the patches does not depend on the rows.
void densify(const Plane& first, const Plane& second, const PatchGrid& grid, int begin, int end, MotionSums& sums,
             SplitPlane& flow) {
  const int height = first.height(), width = first.width(), stride = grid.stride();
  for (int y = begin; y < end; ++y) sums.clear_row(y);
  const int first_row = covering(begin, stride, grid.rows()).first;
  const int last_row = covering(end - 1, stride, grid.rows()).last;
  for (int row = first_row; row <= last_row; ++row) {
    const int top = row * stride, bottom = row == grid.rows() - 1 ? height : top + kPatchSize;
    const RowRange rows = {std::max(top, begin), std::min(bottom, end)};
    for (int column = 0; column < grid.columns(); ++column) {
      const int left = column * stride, right = column == grid.columns() - 1 ? width : left + kPatchSize;
      const Reach patch = {top, bottom, left, right, grid.motion(row, column)};
      if (right - left == kPatchSize && stays_inside(patch, height, width)) {
        add_inner_patch(first, second, patch, rows, sums);
      } else {
        add_border_patch(first, second, patch, rows, sums);
      }
    }
  }
  for (int y = begin; y < end; ++y) mean_row(sums, y, flow);
}

}  // namespace
}  // namespace slt_fast
