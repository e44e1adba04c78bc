#include "pyramid.h"

#include <algorithm>

#include "area.h"

namespace slt_fast::opencv {
namespace {

// A patch reaches at most 8 pixels beyond the image, and interpolation one more; OpenCV's border has 16, and from its
// corner positions are counted.
constexpr int kBorder = 16;

// Each level from the rounded one before it.
std::vector<GreyImage> shrunk_frames(const uint8_t* frame, int height, int width, const Levels& levels) {
  std::vector<GreyImage> images = {shrunk(frame, height, width, height >> levels.finest, width >> levels.finest)};
  for (int level = levels.finest + 1; level <= levels.coarsest; ++level) {
    const GreyImage& finer = images.back();
    images.push_back(shrunk(finer.row(0), finer.height(), finer.width(), finer.height() / 2, finer.width() / 2));
  }
  return images;
}

Plane as_floats(const GreyImage& image, int border) {
  Plane plane(image.height(), image.width(), border);
  for (int y = 0; y < image.height(); ++y) std::copy_n(image.row(y), image.width(), plane.row(y));
  return plane;
}

void repeat_border(Plane& plane) {
  const int height = plane.height(), width = plane.width(), border = plane.border();
  for (int y = 0; y < height; ++y) {
    float* row = plane.row(y);
    std::fill(row - border, row, row[0]);
    std::fill(row + width, row + width + border, row[width - 1]);
  }
  for (int k = 1; k <= border; ++k) {
    std::copy_n(plane.row(0) - border, plane.stride(), plane.row(-k) - border);
    std::copy_n(plane.row(height - 1) - border, plane.stride(), plane.row(height - 1 + k) - border);
  }
}

// One pixel beyond the image lies what is one pixel inside.
void mirror_border(Plane& plane) {
  const int height = plane.height(), width = plane.width();
  for (int y = 0; y < height; ++y) {
    float* row = plane.row(y);
    row[-1] = row[1];
    row[width] = row[width - 2];
  }
  std::copy_n(plane.row(1) - 1, width + 2, plane.row(-1) - 1);
  std::copy_n(plane.row(height - 2) - 1, width + 2, plane.row(height) - 1);
}

void set_gradients(const Plane& image, Plane& gradient_x, Plane& gradient_y) {
  for (int y = 0; y < image.height(); ++y) {
    const float *above = image.row(y - 1), *row = image.row(y), *below = image.row(y + 1);
    float *to_x = gradient_x.row(y), *to_y = gradient_y.row(y);
#pragma GCC ivdep
    for (int x = 0; x < image.width(); ++x) {
      to_x[x] = (above[x + 1] - above[x - 1]) + 2 * (row[x + 1] - row[x - 1]) + (below[x + 1] - below[x - 1]);
      to_y[x] = (below[x - 1] - above[x - 1]) + 2 * (below[x] - above[x]) + (below[x + 1] - above[x + 1]);
    }
  }
}

LevelFrames level_frames(const GreyImage& first, const GreyImage& second) {
  LevelFrames frames = {as_floats(first, 1), as_floats(second, kBorder), Plane(first.height(), first.width()),
                        Plane(first.height(), first.width())};
  mirror_border(frames.first);
  repeat_border(frames.second);
  set_gradients(frames.first, frames.gradient_x, frames.gradient_y);
  return frames;
}

}  // namespace

std::vector<LevelFrames> pyramid_of(const uint8_t* first, const uint8_t* second, int height, int width,
                                    const Levels& levels) {
  const std::vector<GreyImage> firsts = shrunk_frames(first, height, width, levels);
  const std::vector<GreyImage> seconds = shrunk_frames(second, height, width, levels);
  std::vector<LevelFrames> pyramid;
  for (size_t k = 0; k < firsts.size(); ++k) pyramid.push_back(level_frames(firsts[k], seconds[k]));
  return pyramid;
}

}  // namespace slt_fast::opencv
