// Both frames at every level that is searched.
#pragma once

#include <cstdint>
#include <vector>

#include "levels.h"
#include "plane.h"

namespace slt_fast::opencv {

struct LevelFrames {
  Plane first, second;           // values 0..255; the second frame's border repeats its outermost pixels
  Plane gradient_x, gradient_y;  // of the first frame, by the Sobel operator, which multiplies them by eight
};

// Element k of the result is level levels.finest + k.
std::vector<LevelFrames> pyramid_of(const uint8_t* first, const uint8_t* second, int height, int width,
                                    const Levels& levels);

}  // namespace slt_fast::opencv
