#include "equations.h"

#include <cmath>
#include <vector>

namespace slt_fast::opencv {
namespace {

constexpr float kAlpha = 20, kDelta = 5, kGamma = 10;  // weights of smoothness, brightness and gradient
constexpr float kEpsilon = 0.01f * 0.01f, kZeta = 0.1f * 0.1f;
constexpr float kOmega = 1.6f;

// In a loop of its own: as square roots may set errno, it is not vectorised.
void take_square_roots(float* values, int count) {
  for (int i = 0; i < count; ++i) values[i] = std::sqrt(values[i]);
}

// The squared sizes of two gradients, plus zeta.
struct Norms {
  float x, y;
};

inline Norms second_norms(float xx, float xy, float yy) {
  return {xx * xx + xy * xy + kZeta, yy * yy + xy * xy + kZeta};
}

// The derivatives of the pixels of one colour in a row.
struct DerivativeRows {
  const float *x, *y, *t, *xx, *xy, *yy, *xt, *yt;

  DerivativeRows(const Derivatives& d, int row, int colour)
      : x(d.x.half(row, colour)),
        y(d.y.half(row, colour)),
        t(d.t.half(row, colour)),
        xx(d.xx.half(row, colour)),
        xy(d.xy.half(row, colour)),
        yy(d.yy.half(row, colour)),
        xt(d.xt.half(row, colour)),
        yt(d.yt.half(row, colour)) {}
};

// The robust penalties of what the increments leave of the differences in brightness and in gradients.
void set_penalties(const DerivativeRows& d, const float* du, const float* dv, int count, float* brightness,
                   float* gradient) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    const float norm = d.x[i] * d.x[i] + d.y[i] * d.y[i] + kZeta;
    const float left = d.t[i] + d.x[i] * du[i] + d.y[i] * dv[i];
    brightness[i] = left * left / norm + kEpsilon;
    const Norms norms = second_norms(d.xx[i], d.xy[i], d.yy[i]);
    const float left_x = d.xt[i] + d.xx[i] * du[i] + d.xy[i] * dv[i];
    const float left_y = d.yt[i] + d.xy[i] * du[i] + d.yy[i] * dv[i];
    gradient[i] = left_x * left_x / norms.x + left_y * left_y / norms.y + kEpsilon;
  }
  take_square_roots(brightness, count);
  take_square_roots(gradient, count);
}

// The terms that want brightness and gradients to stay, for the pixels of one colour in a row.
void set_data_terms(const DerivativeRows& d, const float* brightness, const float* gradient, int row, int colour,
                    Equations& equations) {
  float *a11 = equations.a11.half(row, colour), *a12 = equations.a12.half(row, colour);
  float* a22 = equations.a22.half(row, colour);
  float *b1 = equations.b1.half(row, colour), *b2 = equations.b2.half(row, colour);
  const int count = equations.a11.count(row, colour);
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    const float x = d.x[i], y = d.y[i], t = d.t[i], xx = d.xx[i], xy = d.xy[i], yy = d.yy[i];
    const float c = kDelta / 2 / brightness[i] / (x * x + y * y + kZeta), g = kGamma / 2 / gradient[i];
    const Norms norms = second_norms(xx, xy, yy);
    a11[i] = c * (x * x) + kZeta + g * (xx * xx / norms.x + xy * xy / norms.y);
    a12[i] = c * (x * y) + g * (xx * xy / norms.x + xy * yy / norms.y);
    a22[i] = c * (y * y) + kZeta + g * (xy * xy / norms.x + yy * yy / norms.y);
    b1[i] = -c * (t * x) - g * (xx * d.xt[i] / norms.x + xy * d.yt[i] / norms.y);
    b2[i] = -c * (t * y) - g * (xy * d.xt[i] / norms.x + yy * d.yt[i] / norms.y);
  }
}

// Edges between pixels whose motion differs weigh less.
void set_weights(const SplitFlow& current, int y, int colour, Checkerboard& weight) {
  const Neighbourhood u = neighbourhood(current.u, y, colour), v = neighbourhood(current.v, y, colour);
  const int count = weight.count(y, colour);
  float* out = weight.half(y, colour);
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    const float ux = u.right[i] - u.centre[i], vx = v.right[i] - v.centre[i];
    const float uy = u.down[i] - u.centre[i], vy = v.down[i] - v.centre[i];
    out[i] = ux * ux + vx * vx + uy * uy + vy * vy + kEpsilon;
  }
  take_square_roots(out, count);
  for (int i = 0; i < count; ++i) out[i] = kAlpha / 2 / out[i];
}

// An edge of some weight from each pixel of a run to a neighbour.
struct Edges {
  const float *weight, *centre_u, *centre_v, *neighbour_u, *neighbour_v;
};

void add_edges(const Edges& edges, int count, int y, int colour, Equations& equations) {
  float *a11 = equations.a11.half(y, colour), *a22 = equations.a22.half(y, colour);
  float *b1 = equations.b1.half(y, colour), *b2 = equations.b2.half(y, colour);
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    a11[i] += edges.weight[i];
    a22[i] += edges.weight[i];
    b1[i] += edges.weight[i] * (edges.neighbour_u[i] - edges.centre_u[i]);
    b2[i] += edges.weight[i] * (edges.neighbour_v[i] - edges.centre_v[i]);
  }
}

// The terms that want the flow to be smooth. For the same rounding, edges are added in OpenCV's order: those along x
// before those along y, and of either kind those that begin at a red pixel first.
void add_smoothness_terms(const SplitFlow& flow, int y, int colour, Equations& equations) {
  const Neighbourhood u = neighbourhood(flow.u, y, colour), v = neighbourhood(flow.v, y, colour);
  const Neighbourhood weight = neighbourhood(equations.weight, y, colour);
  const int count = flow.u.count(y, colour);
  const bool has_last = Checkerboard::first_column(y, colour) == (flow.u.width() - 1) % 2;
  const int count_right = has_last ? count - 1 : count, count_down = y == flow.u.height() - 1 ? 0 : count;
  const Edges left = {weight.left, u.centre, v.centre, u.left, v.left};
  const Edges right = {weight.centre, u.centre, v.centre, u.right, v.right};
  const Edges up = {weight.up, u.centre, v.centre, u.up, v.up};
  const Edges down = {weight.centre, u.centre, v.centre, u.down, v.down};
  if (colour == 0) {
    add_edges(right, count_right, y, colour, equations);
    add_edges(left, count, y, colour, equations);
    add_edges(down, count_down, y, colour, equations);
    add_edges(up, count, y, colour, equations);
  } else {
    add_edges(left, count, y, colour, equations);
    add_edges(right, count_right, y, colour, equations);
    add_edges(up, count, y, colour, equations);
    add_edges(down, count_down, y, colour, equations);
  }
}

void relax_half(const Equations& equations, int y, int colour, SplitFlow& increments) {
  const Neighbourhood u = neighbourhood(increments.u, y, colour), v = neighbourhood(increments.v, y, colour);
  const Neighbourhood weight = neighbourhood(equations.weight, y, colour);
  const float *a11 = equations.a11.half(y, colour), *a12 = equations.a12.half(y, colour);
  const float* a22 = equations.a22.half(y, colour);
  const float *b1 = equations.b1.half(y, colour), *b2 = equations.b2.half(y, colour);
  float *du = increments.u.half(y, colour), *dv = increments.v.half(y, colour);
  const int count = increments.u.count(y, colour);
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    // Beyond the right and lower border increments are zero, so that the edges there do not count.
    const float sum_u = weight.left[i] * u.left[i] + weight.centre[i] * u.right[i] + weight.up[i] * u.up[i] +
                        weight.centre[i] * u.down[i];
    const float sum_v = weight.left[i] * v.left[i] + weight.centre[i] * v.right[i] + weight.up[i] * v.up[i] +
                        weight.centre[i] * v.down[i];
    const float new_du = du[i] + kOmega * ((sum_u + b1[i] - dv[i] * a12[i]) / a11[i] - du[i]);
    dv[i] += kOmega * ((sum_v + b2[i] - new_du * a12[i]) / a22[i] - dv[i]);
    du[i] = new_du;
  }
}

}  // namespace

void set_equations(const Derivatives& derivatives, const SplitFlow& flow, const SplitFlow& current,
                   const SplitFlow& increments, Equations& equations) {
  std::vector<float> brightness(flow.u.width()), gradient(flow.u.width());
  for (int y = 0; y < flow.u.height(); ++y) {
    for (int colour = 0; colour < 2; ++colour) set_weights(current, y, colour, equations.weight);
    for (int colour = 0; colour < 2; ++colour) {
      const DerivativeRows rows(derivatives, y, colour);
      set_penalties(rows, increments.u.half(y, colour), increments.v.half(y, colour), flow.u.count(y, colour),
                    brightness.data(), gradient.data());
      set_data_terms(rows, brightness.data(), gradient.data(), y, colour, equations);
      add_smoothness_terms(flow, y, colour, equations);
    }
  }
}

void relax(const Equations& equations, int colour, SplitFlow& increments) {
  for (int y = 0; y < increments.u.height(); ++y) relax_half(equations, y, colour, increments);
}

}  // namespace slt_fast::opencv
