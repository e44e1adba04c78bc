#include "search.h"

#include <algorithm>
#include <cmath>

#include "comparison.h"
#include "patch_sums.h"

namespace slt_fast::opencv {
namespace {

// Bands of patch rows, between which motions do not spread.
constexpr int kBands = 8;

struct InverseHessian {
  float xx, xy, yy;
};

InverseHessian inverse_of(const PatchSums& sums) {
  constexpr float kLeast = 0.001f;
  float determinant = sums.xx * sums.yy - sums.xy * sums.xy;
  if (std::abs(determinant) < kLeast) determinant = kLeast;
  return {sums.yy / determinant, -sums.xy / determinant, sums.xx / determinant};
}

// OpenCV's gradients are eight times too large, and so each step is an eighth of that of Gauss and Newton.
Motion descended(const Patch& patch, const PatchSums& sums, const Motion& start, int iterations) {
  const InverseHessian inverse = inverse_of(sums);
  Motion motion = start;
  float previous = 1e10f;
  for (int i = 0; i < iterations; ++i) {
    const Slope at = slope(patch, motion, sums.x, sums.y);
    motion.u -= inverse.xx * at.x + inverse.xy * at.y;
    motion.v -= inverse.xy * at.x + inverse.yy * at.y;
    if (at.distance >= previous) break;
    previous = at.distance;
  }
  const double u = motion.u - start.u, v = motion.v - start.v;
  return std::sqrt(u * u + v * v) <= kPatchSize ? motion : start;
}

struct Search {
  const LevelFrames& frames;
  const std::vector<PatchSums>& sums;
  int iterations;
  PatchGrid& grid;

  Patch patch_at(int row, int column) const { return {&frames, row * grid.stride, column * grid.stride}; }

  void start_band(int begin, int end, const Flow& flow) const {
    constexpr int kCentre = kPatchSize / 2;
    for (int row = begin; row < end; ++row) {
      const int y = row * grid.stride + kCentre;
      for (int column = 0; column < grid.columns; ++column) {
        const int x = column * grid.stride + kCentre;
        grid.row(row)[column] = {flow.u.row(y)[x], flow.v.row(y)[x]};
      }
    }
  }

  // Descends from the best of the patch's own motion and those of its neighbours before it in the sweep.
  void improve(int row, int column, int step, bool has_row_before, bool has_column_before) const {
    const Patch patch = patch_at(row, column);
    Motion best = grid.row(row)[column];
    float least = distance(patch, best);
    const auto consider = [&](const Motion& motion) {
      const float at = distance(patch, motion);
      if (at < least) {
        least = at;
        best = motion;
      }
    };
    if (has_column_before) consider(grid.row(row)[column - step]);
    if (has_row_before) consider(grid.row(row - step)[column]);
    const PatchSums& patch_sums = sums[static_cast<size_t>(row) * grid.columns + column];
    grid.row(row)[column] = descended(patch, patch_sums, best, iterations);
  }

  void sweep_forward(int begin, int end) const {
    for (int row = begin; row < end; ++row) {
      for (int column = 0; column < grid.columns; ++column) improve(row, column, 1, row > begin, column > 0);
    }
  }

  void sweep_backward(int begin, int end) const {
    for (int row = end - 1; row >= begin; --row) {
      for (int column = grid.columns - 1; column >= 0; --column) {
        improve(row, column, -1, row < end - 1, column < grid.columns - 1);
      }
    }
  }
};

}  // namespace

PatchGrid search(const LevelFrames& frames, const Flow& start, int stride, int iterations) {
  PatchGrid grid = {
      patches_along(frames.first.height(), stride), patches_along(frames.first.width(), stride), stride, {}};
  grid.motions.resize(static_cast<size_t>(grid.rows) * grid.columns);
  const std::vector<PatchSums> sums = patch_sums(frames.gradient_x, frames.gradient_y, stride);
  const Search of_level = {frames, sums, iterations / 2, grid};
  const int rows_per_band = (grid.rows + kBands - 1) / kBands;
  for (int begin = 0; begin < grid.rows; begin += rows_per_band) {
    const int end = std::min(begin + rows_per_band, grid.rows);
    of_level.start_band(begin, end, start);
    of_level.sweep_forward(begin, end);
    of_level.sweep_backward(begin, end);
  }
  return grid;
}

}  // namespace slt_fast::opencv
