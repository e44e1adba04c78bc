// The variational refinement of a level's flow.
#pragma once

#include "plane.h"
#include "pyramid.h"

namespace slt_fast::opencv {

void refine(const LevelFrames& frames, int fixed_points, Flow& flow);

}  // namespace slt_fast::opencv
