// From patches to pixels: each pixel takes the weighted mean of the motions of all patches that cover it.
#pragma once

#include "plane.h"
#include "pyramid.h"
#include "search.h"

namespace slt_fast::opencv {

void densify(const LevelFrames& frames, const PatchGrid& grid, Flow& flow);

}  // namespace slt_fast::opencv
