// Flow at a larger size.
#pragma once

#include "plane.h"

namespace slt_fast::opencv {

// Twice the flow, for the next finer level.
Plane enlarged(const Plane& flow, int height, int width);

// The flow times `factor`, written to [height][width].
void write_enlarged(const Plane& flow, float factor, int height, int width, float* out);

}  // namespace slt_fast::opencv
