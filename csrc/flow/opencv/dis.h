// The dense inverse search of OpenCV, as cv2.DISOpticalFlow_create(preset).calc(first, second, None) computes it.
//
// Written after OpenCV's modules/video/src/dis_flow.cpp and variational_refinement.cpp so that operations, their order
// and their rounding are the same. Built for x86-64 it gives the flow of OpenCV 5.0 on a processor with AVX2 to the
// bit; where a compiler may fuse multiplications and additions, as on Arm, the last digits differ.
#pragma once

#include <cstdint>

namespace slt_fast::opencv {

struct DisSettings {
  int finest_level;           // 0 to 2: 0 is full resolution
  int patch_stride;           // 1 to 8 pixels of a level; patches have 8x8
  int descent_iterations;     // of a patch on each level, in two passes
  int refinement_iterations;  // fixed points on each level; none leaves the refinement out
};

// Frames are [height][width] of at least 8x8 pixels; the flow is [2][height][width], u and then v.
void dis_flow(const uint8_t* first, const uint8_t* second, int height, int width, const DisSettings& settings,
              float* flow);

}  // namespace slt_fast::opencv
