// What test_opencv_dis.py calls.
#include "../../csrc/flow/opencv/dis.h"

extern "C" void opencv_dis_flow(const uint8_t* first, const uint8_t* second, int height, int width, const int* settings,
                                float* flow) {
  slt_fast::opencv::dis_flow(first, second, height, width, {settings[0], settings[1], settings[2], settings[3]}, flow);
}
