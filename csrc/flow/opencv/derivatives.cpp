#include "derivatives.h"

#include <algorithm>
#include <vector>

#include "interpolation.h"

namespace slt_fast::opencv {
namespace {

// Two neighbouring pixels along an axis, which repeats its ends, and how far between them a position lies.
struct Position {
  int low, high;
  float share;
};

// Positions further out than one pixel beyond the image have the same value as there; NaN is taken for one of them.
inline Position position_along(float position, int length) {
  const float inside = std::min(std::max(-1.0f, position), static_cast<float>(length));
  const int before = static_cast<int>(inside) - (inside < 0 ? 1 : 0);
  return {std::clamp(before, 0, length - 1), std::clamp(before + 1, 0, length - 1),
          inside - static_cast<float>(before)};
}

void warp_row(const Plane& image, const Flow& flow, int y, float* out) {
  const float *u = flow.u.row(y), *v = flow.v.row(y);
  for (int x = 0; x < image.width(); ++x) {
    const Position along_x = position_along(static_cast<float>(x) + u[x], image.width());
    const Position along_y = position_along(static_cast<float>(y) + v[x], image.height());
    const float *top = image.row(along_y.low), *bottom = image.row(along_y.high);
    out[x] = between(between(top[along_x.low], top[along_x.high], along_x.share),
                     between(bottom[along_x.low], bottom[along_x.high], along_x.share), along_y.share);
  }
}

// The mean of the first frame and the warped second one, and their difference.
void combine_row(const float* first, const float* warped, int width, float* mean, float* difference) {
#pragma GCC ivdep
  for (int x = 0; x < width; ++x) {
    mean[x] = 0.5f * first[x] + 0.5f * warped[x];
    difference[x] = warped[x] - first[x];
  }
}

// OpenCV leaves out the factor 1/2 of a central difference, so that the increments that follow are half of what they
// should be.
void differ_along_x(const float* row, int width, float* out) {
  out[0] = row[1] - row[0];
#pragma GCC ivdep
  for (int x = 1; x < width - 1; ++x) out[x] = row[x + 1] - row[x - 1];
  out[width - 1] = row[width - 1] - row[width - 2];
}

void differ_along_y(const Plane& image, int y, float* out) {
  const float *above = image.row(std::max(y - 1, 0)), *below = image.row(std::min(y + 1, image.height() - 1));
#pragma GCC ivdep
  for (int x = 0; x < image.width(); ++x) out[x] = below[x] - above[x];
}

void differ_along_x(const Plane& image, Checkerboard& out) {
  std::vector<float> row(image.width());
  for (int y = 0; y < image.height(); ++y) {
    differ_along_x(image.row(y), image.width(), row.data());
    out.set_row(y, row.data());
  }
}

void differ_along_y(const Plane& image, Checkerboard& out) {
  std::vector<float> row(image.width());
  for (int y = 0; y < image.height(); ++y) {
    differ_along_y(image, y, row.data());
    out.set_row(y, row.data());
  }
}

}  // namespace

void set_derivatives(const LevelFrames& frames, const Flow& flow, Derivatives& derivatives) {
  const int height = frames.first.height(), width = frames.first.width();
  Plane mean(height, width), difference(height, width), along_x(height, width), along_y(height, width);
  std::vector<float> warped(width);
  for (int y = 0; y < height; ++y) {
    warp_row(frames.second, flow, y, warped.data());
    combine_row(frames.first.row(y), warped.data(), width, mean.row(y), difference.row(y));
  }
  for (int y = 0; y < height; ++y) {
    differ_along_x(mean.row(y), width, along_x.row(y));
    differ_along_y(mean, y, along_y.row(y));
    derivatives.x.set_row(y, along_x.row(y));
    derivatives.y.set_row(y, along_y.row(y));
    derivatives.t.set_row(y, difference.row(y));
  }
  differ_along_x(along_x, derivatives.xx);
  differ_along_y(along_x, derivatives.xy);
  differ_along_y(along_y, derivatives.yy);
  differ_along_x(difference, derivatives.xt);
  differ_along_y(difference, derivatives.yt);
}

}  // namespace slt_fast::opencv
