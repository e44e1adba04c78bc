#include "patch_sums.h"

namespace slt_fast::opencv {
namespace {

void add_pixel(float x, float y, float sign, PatchSums& sums) {
  sums.xx += sign * (x * x);
  sums.yy += sign * (y * y);
  sums.xy += sign * (x * y);
  sums.x += sign * x;
  sums.y += sign * y;
}

// Sums over eight pixels of a row; these are integers small enough for a float, so that their order does not matter.
void sum_along_row(const float* x, const float* y, int stride, int columns, PatchSums* out) {
  PatchSums sums = {};
  for (int i = 0; i < kPatchSize; ++i) add_pixel(x[i], y[i], 1, sums);
  out[0] = sums;
  for (int column = 1, i = kPatchSize; column < columns; ++column) {
    for (const int end = i + stride; i < end; ++i) {
      add_pixel(x[i], y[i], 1, sums);
      add_pixel(x[i - kPatchSize], y[i - kPatchSize], -1, sums);
    }
    out[column] = sums;
  }
}

}  // namespace

// Sums over eight rows may exceed 2^24 and be rounded. OpenCV adds a row and takes the one that leaves away, and so
// what was rounded above stays in the sums below: we do the same.
std::vector<PatchSums> patch_sums(const Plane& gradient_x, const Plane& gradient_y, int stride) {
  const int height = gradient_x.height(), columns = patches_along(gradient_x.width(), stride);
  constexpr int kFields = sizeof(PatchSums) / sizeof(float);
  std::vector<PatchSums> of_rows(static_cast<size_t>(height) * columns), sums(columns), result;
  result.reserve(static_cast<size_t>(patches_along(height, stride)) * columns);
  for (int y = 0; y < height; ++y) {
    PatchSums* row = of_rows.data() + static_cast<ptrdiff_t>(y) * columns;
    sum_along_row(gradient_x.row(y), gradient_y.row(y), stride, columns, row);
    const float* entering = &row->xx;
    float* total = &sums[0].xx;
    if (y < kPatchSize) {
      for (int i = 0; i < kFields * columns; ++i) total[i] += entering[i];
    } else {
      const float* leaving = &(row - static_cast<ptrdiff_t>(kPatchSize) * columns)->xx;
      for (int i = 0; i < kFields * columns; ++i) total[i] += entering[i] - leaving[i];
    }
    const int top = y + 1 - kPatchSize;
    if (top >= 0 && top % stride == 0) result.insert(result.end(), sums.begin(), sums.end());
  }
  return result;
}

}  // namespace slt_fast::opencv
