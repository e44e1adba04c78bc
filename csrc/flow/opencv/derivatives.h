// The derivatives of a level's frames that the refinement needs, after the second frame is warped by the flow.
#pragma once

#include "checkerboard.h"
#include "plane.h"
#include "pyramid.h"

namespace slt_fast::opencv {

// x and y are derivatives of the mean of both frames, t is their difference, xx and so on derivatives of these.
struct Derivatives {
  Checkerboard x, y, t, xx, xy, yy, xt, yt;

  Derivatives(int height, int width)
      : x(height, width),
        y(height, width),
        t(height, width),
        xx(height, width),
        xy(height, width),
        yy(height, width),
        xt(height, width),
        yt(height, width) {}
};

void set_derivatives(const LevelFrames& frames, const Flow& flow, Derivatives& derivatives);

}  // namespace slt_fast::opencv
