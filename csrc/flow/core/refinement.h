// The variational refinement at one pixel. The energy has robust constancy of brightness and of its gradient, each
// normalised by the gradient's size, and robust smoothness of the flow. It is linearised and solved by successive
// over-relaxation.
//
// Real is float, or a vector of floats; Math<Real> has its square root.
#pragma once

#include <cmath>

#include "formula.h"

namespace slt_fast {

// Half the weights of Brox et al.: the derivative of the penalty sqrt(s^2 + epsilon^2) has the factor 1/2.
constexpr float kBrightness = 5.0f / 2;
constexpr float kGradient = 10.0f / 2;
constexpr float kSmoothness = 20.0f / 2;
constexpr float kEpsilonSquared = 0.01f * 0.01f;
constexpr float kZetaSquared = 0.1f * 0.1f;
constexpr float kOmega = 1.8f;

template <class Real>
struct Math;

template <>
struct Math<float> {
  SLT_FAST_FORMULA float square_root(float value) { return std::sqrt(value); }
};

// Derivatives of the mean of the first and the warped second frame (x, y), and of their difference t.
template <class Real>
struct Derivatives {
  Real x, y, t, xx, xy, yy, xt, yt;
};

// [a11 a12; a12 a22] (du, dv) = (b1, b2), without the terms of the neighbours' du and dv.
template <class Real>
struct Equation {
  Real a11, a12, a22, b1, b2;
};

// An equation prepared for relaxation: omega / a11 and omega / a22 save the divisions of each sweep.
template <class Real>
struct Relaxation {
  Real step_u, a12, step_v, b1, b2;
};

// Values at the four neighbours of a pixel.
template <class Real>
struct Neighbours {
  Real left, right, up, down;
};

// Weights of a pixel's four edges: `own` for the edges to the right and down, `left` and `up` from the pixels there.
// Edges across the border have weight 0.
template <class Real>
struct Edges {
  Real own, left, up;
};

// The residuals of the three constancies after an increment.
template <class Real>
struct Residuals {
  Real t, xt, yt;
};

template <class Real>
SLT_FAST_FORMULA Residuals<Real> residuals_after(const Derivatives<Real>& d, Real du, Real dv) {
  return {d.t + d.x * du + d.y * dv, d.xt + d.xx * du + d.xy * dv, d.yt + d.xy * du + d.yy * dv};
}

// On a GPU, quotients are correct to two units in the last place: exact ones take several times the instructions.
template <class Real>
SLT_FAST_FORMULA Real quotient(float numerator, Real denominator) {
#if defined(__CUDA_ARCH__)
  return __fdividef(numerator, denominator);
#else
  return numerator / denominator;
#endif
}

template <class Real>
SLT_FAST_FORMULA Real penalty(float weight, Real square) {
#if defined(__CUDA_ARCH__)
  return weight * rsqrtf(square);
#else
  return weight / Math<Real>::square_root(square);
#endif
}

template <class Real>
SLT_FAST_FORMULA Equation<Real> data_equation(const Derivatives<Real>& d, const Residuals<Real>& left) {
  const Real norm = d.x * d.x + d.y * d.y + kZetaSquared;
  const Real square = norm * (left.t * left.t + kEpsilonSquared * norm);
  const Real brightness = penalty(kBrightness, square);  // 1/norm is inside
  const Real mixed = d.xy * d.xy + kZetaSquared;
  const Real norm_x = d.xx * d.xx + mixed, norm_y = d.yy * d.yy + mixed;
  const Real inverse = quotient(1.0f, norm_x * norm_y);
  const Real inverse_x = norm_y * inverse, inverse_y = norm_x * inverse;
  const Real gradient =
      penalty(kGradient, left.xt * left.xt * inverse_x + left.yt * left.yt * inverse_y + kEpsilonSquared);
  const Real weight_x = gradient * inverse_x, weight_y = gradient * inverse_y;
  const Real x = brightness * d.x, y = brightness * d.y;
  const Real xx = weight_x * d.xx, xy = weight_x * d.xy, yx = weight_y * d.xy, yy = weight_y * d.yy;
  return {x * d.x + kZetaSquared + xx * d.xx + yx * d.xy, x * d.y + xx * d.xy + yx * d.yy,
          y * d.y + kZetaSquared + xy * d.xy + yy * d.yy, -(x * d.t + xx * d.xt + yx * d.yt),
          -(y * d.t + xy * d.xt + yy * d.yt)};
}

// Weight of the edges to the right and down, from the flow's forward differences.
template <class Real>
SLT_FAST_FORMULA Real smoothness(Real u_x, Real u_y, Real v_x, Real v_y) {
  return penalty(kSmoothness, u_x * u_x + u_y * u_y + v_x * v_x + v_y * v_y + kEpsilonSquared);
}

template <class Real>
SLT_FAST_FORMULA Real pull(const Edges<Real>& edges, Real centre, const Neighbours<Real>& values) {
  return edges.own * ((values.right - centre) + (values.down - centre)) + edges.left * (values.left - centre) +
         edges.up * (values.up - centre);
}

// Adds the smoothness terms of the four edges. `num_own` is how many of the edges to the right and down stay inside the
// image; u and v repeat across the border.
template <class Real>
SLT_FAST_FORMULA Relaxation<Real> relaxation_of(const Equation<Real>& data, const Edges<Real>& edges, Real num_own,
                                                Real u, const Neighbours<Real>& us, Real v,
                                                const Neighbours<Real>& vs) {
  const Real sum = edges.own * num_own + edges.left + edges.up;
  const Real a11 = data.a11 + sum, a22 = data.a22 + sum;
  const Real scale = quotient(kOmega, a11 * a22);
  return {scale * a22, data.a12, scale * a11, data.b1 + pull(edges, u, us), data.b2 + pull(edges, v, vs)};
}

template <class Real>
SLT_FAST_FORMULA Real target(const Edges<Real>& edges, const Neighbours<Real>& values, Real right_side) {
  return edges.own * (values.right + values.down) + (edges.left * values.left + (edges.up * values.up + right_side));
}

// One step of relaxation on (du, dv); dus and dvs are the neighbours' increments, 0 across the border.
template <class Real>
SLT_FAST_FORMULA void relax(const Relaxation<Real>& equation, const Edges<Real>& edges, const Neighbours<Real>& dus,
                            const Neighbours<Real>& dvs, Real& du, Real& dv) {
  const Real toward_u = target(edges, dus, equation.b1), toward_v = target(edges, dvs, equation.b2);
  du = (1 - kOmega) * du + equation.step_u * (toward_u - equation.a12 * dv);
  dv = (1 - kOmega) * dv + equation.step_v * (toward_v - equation.a12 * du);
}

}  // namespace slt_fast
