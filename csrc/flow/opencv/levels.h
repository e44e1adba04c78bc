// Which levels of the pyramid are searched.
#pragma once

namespace slt_fast::opencv {

// Level k has (height >> k) x (width >> k) pixels.
struct Levels {
  int finest, coarsest;
};

Levels levels_of(int height, int width, int finest);

}  // namespace slt_fast::opencv
