#include "enlarge.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "interpolation.h"

namespace slt_fast::opencv {
namespace {

// Between which two pixels of the smaller plane a pixel of the larger one lies, and the share of the second.
struct Source {
  int low, high;
  float share;
};

double position_of(int i, int size, int to_size) {
  const double scale = 1.0 / (static_cast<double>(to_size) / size);
  return (i + 0.5) * scale - 0.5;
}

Source source_at(int before, float share, int size) {
  return {std::clamp(before, 0, size - 1), std::clamp(before + 1, 0, size - 1), share};
}

// Positions as doubles, as Intel's library computes them, which OpenCV calls for planes of one component.
std::vector<Source> exact_sources(int size, int to_size) {
  std::vector<Source> sources;
  for (int i = 0; i < to_size; ++i) {
    const double position = position_of(i, size, to_size), before = std::floor(position);
    sources.push_back(source_at(static_cast<int>(before), static_cast<float>(position - before), size));
  }
  return sources;
}

// Positions as floats, as OpenCV computes them for planes of two components.
std::vector<Source> rounded_sources(int size, int to_size) {
  std::vector<Source> sources;
  for (int i = 0; i < to_size; ++i) {
    const float position = static_cast<float>(position_of(i, size, to_size)), before = std::floor(position);
    sources.push_back(source_at(static_cast<int>(before), position - before, size));
  }
  return sources;
}

// The same as between(), but rounded at each step.
float mixed(float from, float to, float share) { return from * (1.0f - share) + to * share; }

}  // namespace

Plane enlarged(const Plane& flow, int height, int width) {
  const std::vector<Source> rows = exact_sources(flow.height(), height), columns = exact_sources(flow.width(), width);
  Plane wide(flow.height(), width), out(height, width);
  for (int y = 0; y < flow.height(); ++y) {
    const float* from = flow.row(y);
    float* to = wide.row(y);
    for (int x = 0; x < width; ++x) to[x] = between(from[columns[x].low], from[columns[x].high], columns[x].share);
  }
  for (int y = 0; y < height; ++y) {
    const float *low = wide.row(rows[y].low), *high = wide.row(rows[y].high), share = rows[y].share;
    float* to = out.row(y);
#pragma GCC ivdep
    for (int x = 0; x < width; ++x) to[x] = 2 * between(low[x], high[x], share);
  }
  return out;
}

void write_enlarged(const Plane& flow, float factor, int height, int width, float* out) {
  const std::vector<Source> rows = rounded_sources(flow.height(), height);
  std::vector<Source> columns = rounded_sources(flow.width(), width);
  // Along x, but not along y, OpenCV takes the outermost pixels as they are instead of mixing them with themselves.
  for (Source& column : columns) {
    if (column.low == column.high) column.share = 0;
  }
  Plane wide(flow.height(), width);
  for (int y = 0; y < flow.height(); ++y) {
    const float* from = flow.row(y);
    float* to = wide.row(y);
    for (int x = 0; x < width; ++x) to[x] = mixed(from[columns[x].low], from[columns[x].high], columns[x].share);
  }
  for (int y = 0; y < height; ++y, out += width) {
    const float *low = wide.row(rows[y].low), *high = wide.row(rows[y].high), share = rows[y].share;
#pragma GCC ivdep
    for (int x = 0; x < width; ++x) out[x] = factor * mixed(low[x], high[x], share);
  }
}

}  // namespace slt_fast::opencv
