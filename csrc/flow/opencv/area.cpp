#include "area.h"

#include <algorithm>
#include <cmath>

namespace slt_fast::opencv {
namespace {

struct Tap {
  int from;
  float weight;
};

// What target pixel i averages: the taps begin[i]..begin[i + 1].
struct Taps {
  std::vector<int> begin;
  std::vector<Tap> taps;
};

// OpenCV leaves out slivers of less than a thousandth of a pixel.
constexpr double kSliver = 1e-3;

void add_taps(double begin, double end, double cell, int size, std::vector<Tap>& taps) {
  const int last = std::min(static_cast<int>(std::floor(end)), size - 1);
  const int first = std::min(static_cast<int>(std::ceil(begin)), last);
  if (first - begin > kSliver) taps.push_back({first - 1, static_cast<float>((first - begin) / cell)});
  for (int i = first; i < last; ++i) taps.push_back({i, static_cast<float>(1.0 / cell)});
  if (end - last > kSliver) {
    taps.push_back({last, static_cast<float>(std::min(std::min(end - last, 1.0), cell) / cell)});
  }
}

Taps taps_of(int size, int to_size) {
  const double scale = 1.0 / (static_cast<double>(to_size) / size);
  Taps result;
  for (int i = 0; i < to_size; ++i) {
    result.begin.push_back(static_cast<int>(result.taps.size()));
    const double begin = i * scale;
    add_taps(begin, begin + scale, std::min(scale, size - begin), size, result.taps);
  }
  result.begin.push_back(static_cast<int>(result.taps.size()));
  return result;
}

void average_columns(const uint8_t* row, const Taps& columns, std::vector<float>& out) {
  for (size_t x = 0; x < out.size(); ++x) {
    float sum = 0;
    for (int t = columns.begin[x]; t < columns.begin[x + 1]; ++t) {
      sum += row[columns.taps[t].from] * columns.taps[t].weight;
    }
    out[x] = sum;
  }
}

void average(const uint8_t* image, int height, int width, GreyImage& out) {
  const Taps rows = taps_of(height, out.height()), columns = taps_of(width, out.width());
  std::vector<float> averaged(out.width()), sums(out.width());
  for (int y = 0; y < out.height(); ++y) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (int t = rows.begin[y]; t < rows.begin[y + 1]; ++t) {
      average_columns(image + static_cast<ptrdiff_t>(rows.taps[t].from) * width, columns, averaged);
      for (int x = 0; x < out.width(); ++x) sums[x] += rows.taps[t].weight * averaged[x];
    }
    for (int x = 0; x < out.width(); ++x) out.row(y)[x] = static_cast<uint8_t>(std::lrintf(sums[x]));
  }
}

// Rounds halves up, where any other ratio rounds them to even.
void halve(const uint8_t* image, int width, GreyImage& out) {
  for (int y = 0; y < out.height(); ++y) {
    const uint8_t *top = image + static_cast<ptrdiff_t>(2 * y) * width, *bottom = top + width;
    uint8_t* to = out.row(y);
    for (int x = 0; x < out.width(); ++x) {
      to[x] = static_cast<uint8_t>((top[2 * x] + top[2 * x + 1] + bottom[2 * x] + bottom[2 * x + 1] + 2) >> 2);
    }
  }
}

}  // namespace

GreyImage shrunk(const uint8_t* image, int height, int width, int to_height, int to_width) {
  GreyImage out(to_height, to_width);
  if (height == 2 * to_height && width == 2 * to_width) {
    halve(image, width, out);
  } else {
    average(image, height, width, out);
  }
  return out;
}

}  // namespace slt_fast::opencv
