// Entry points of test_flow_stages.py: the stages of csrc/flow/cpu on plain arrays, for one instruction set.
#define SLT_FAST_INSTRUCTION_SET stages
#include "../../csrc/flow/cpu/disvr.h"

namespace slt_fast {
namespace {

Plane plane_of(const float* image, int height, int width) {
  Plane plane;
  plane.resize(height, width);
  for (int y = 0; y < height; ++y) std::copy_n(image + y * width, width, plane.row(y));
  plane.repeat_border();
  return plane;
}

void copy_plane(const Plane& plane, float* out) {
  for (int y = 0; y < plane.height(); ++y) std::copy_n(plane.row(y), plane.width(), out + y * plane.width());
}

SplitPlane split_of(const float* flow, int height, int width) {
  SplitPlane split;
  split.resize(height, width, 2);
  for (int component = 0; component < 2; ++component) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) split.half(y, x & 1, component)[x >> 1] = *flow++;
      split.repeat_sides(y, component);
    }
  }
  return split;
}

void copy_split(const SplitPlane& split, float* out) {
  for (int component = 0; component < 2; ++component) {
    for (int y = 0; y < split.height(); ++y) {
      for (int x = 0; x < split.width(); ++x) *out++ = split.half(y, x & 1, component)[x >> 1];
    }
  }
}

}  // namespace
}  // namespace slt_fast

using namespace slt_fast;

extern "C" {

void stage_pyramid(const uint8_t* grey, int height, int width, int level, float* out) {
  Pyramid pyramid;
  pyramid.build(grey, height, width, level);
  copy_plane(pyramid[level], out);
}

// out: [2, height, width]
void stage_gradients(const float* image, int height, int width, float* out) {
  Plane x, y;
  x.resize(height, width);
  y.resize(height, width);
  gradients(plane_of(image, height, width), 0, height, x, y);
  copy_plane(x, out);
  copy_plane(y, out + height * width);
}

// images: [2, height, width]; coarser_flow: [2, height / 2, width / 2]; motions: [2, rows, columns]
void stage_search(const float* images, int height, int width, const float* coarser_flow, int stride, int iterations,
                  float* motions) {
  const Plane first = plane_of(images, height, width), second = plane_of(images + height * width, height, width);
  const SplitPlane coarser = split_of(coarser_flow, height / 2, width / 2);
  Plane x, y;
  x.resize(height, width);
  y.resize(height, width);
  gradients(first, 0, height, x, y);
  PatchGrid grid;
  grid.resize(height, width, stride);
  search({&first, &second, &x, &y, &coarser}, iterations, 0, grid.rows(), grid);
  for (int i = 0; i < grid.rows() * grid.columns(); ++i) {
    const Motion motion = grid.motion(i / grid.columns(), i % grid.columns());
    motions[i] = motion.u;
    motions[i + grid.rows() * grid.columns()] = motion.v;
  }
}

// motions: [2, rows, columns]; flow: [2, height, width]
void stage_densify(const float* images, int height, int width, const float* motions, int stride, float* flow) {
  const Plane first = plane_of(images, height, width), second = plane_of(images + height * width, height, width);
  PatchGrid grid;
  grid.resize(height, width, stride);
  const int patches = grid.rows() * grid.columns();
  for (int i = 0; i < patches; ++i) {
    grid.set_motion(i / grid.columns(), i % grid.columns(), {motions[i], motions[i + patches]});
  }
  MotionSums sums;
  sums.resize(height, width);
  SplitPlane split;
  split.resize(height, width, 2);
  densify(first, second, grid, 0, height, sums, split);
  copy_split(split, flow);
}

// flow: [2, height, width], refined in place
void stage_refine(const float* images, int height, int width, int warps, int fixed_points, int sweeps, float* flow) {
  const Plane first = plane_of(images, height, width), second = plane_of(images + height * width, height, width);
  SplitPlane split = split_of(flow, height, width);
  Settings settings = {};
  settings.warps = warps;
  settings.fixed_points = fixed_points;
  settings.sweeps = sweeps;
  Refinement refinement;
  refinement.run(first, second, settings, nullptr, split);
  copy_split(split, flow);
}

}  // extern "C"
