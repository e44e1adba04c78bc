#include "refinement.h"

#include "checkerboard.h"
#include "derivatives.h"
#include "equations.h"

namespace slt_fast::opencv {
namespace {

constexpr int kSweeps = 5;

void split(const Plane& plane, Checkerboard& out) {
  for (int y = 0; y < plane.height(); ++y) out.set_row(y, plane.row(y));
  out.repeat_ends();
}

void join(const Checkerboard& plane, Plane& out) {
  for (int y = 0; y < out.height(); ++y) {
    for (int colour = 0; colour < 2; ++colour) {
      const float* from = plane.half(y, colour);
      float* to = out.row(y) + Checkerboard::first_column(y, colour);
      for (int i = 0; i < plane.count(y, colour); ++i) to[2 * i] = from[i];
    }
  }
}

void add(const Checkerboard& a, const Checkerboard& b, Checkerboard& out) {
  for (int y = 0; y < out.height(); ++y) {
    for (int colour = 0; colour < 2; ++colour) {
      const float *from_a = a.half(y, colour), *from_b = b.half(y, colour);
      float* to = out.half(y, colour);
#pragma GCC ivdep
      for (int i = 0; i < out.count(y, colour); ++i) to[i] = from_a[i] + from_b[i];
    }
  }
  out.repeat_ends();
}

}  // namespace

void refine(const LevelFrames& frames, int fixed_points, Flow& flow) {
  const int height = frames.first.height(), width = frames.first.width();
  Derivatives derivatives(height, width);
  set_derivatives(frames, flow, derivatives);
  SplitFlow base(height, width), increments(height, width);
  split(flow.u, base.u);
  split(flow.v, base.v);
  SplitFlow current = base;
  Equations equations(height, width);
  for (int k = 0; k < fixed_points; ++k) {
    set_equations(derivatives, base, current, increments, equations);
    for (int sweep = 0; sweep < kSweeps; ++sweep) {
      for (int colour = 0; colour < 2; ++colour) relax(equations, colour, increments);
    }
    add(base.u, increments.u, current.u);
    add(base.v, increments.v, current.v);
  }
  join(current.u, flow.u);
  join(current.v, flow.v);
}

}  // namespace slt_fast::opencv
