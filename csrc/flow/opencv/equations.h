// The linear equations of a fixed point of the refinement, two for each pixel.
#pragma once

#include "checkerboard.h"
#include "derivatives.h"

namespace slt_fast::opencv {

struct SplitFlow {
  Checkerboard u, v;

  SplitFlow(int height, int width) : u(height, width), v(height, width) {}
};

// a11 du + a12 dv = b1 + the neighbours' du times the weights of the edges to them; a12 du + a22 dv = b2 + likewise.
// A pixel's weight is that of the edges to its right and lower neighbour.
struct Equations {
  Checkerboard a11, a12, a22, b1, b2, weight;

  Equations(int height, int width)
      : a11(height, width),
        a12(height, width),
        a22(height, width),
        b1(height, width),
        b2(height, width),
        weight(height, width) {}
};

// `current` is flow + increments.
void set_equations(const Derivatives& derivatives, const SplitFlow& flow, const SplitFlow& current,
                   const SplitFlow& increments, Equations& equations);

// One sweep over all red pixels or all black ones.
void relax(const Equations& equations, int colour, SplitFlow& increments);

}  // namespace slt_fast::opencv
