// OpenCV's flow as an operator.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include "../frames.h"
#include "../opencv/dis.h"
#include "threads.h"

namespace slt_fast::opencv {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

void check(const DisSettings& settings) {
  STD_TORCH_CHECK(settings.finest_level >= 0 && settings.finest_level <= 2, "finest_level must be 0 to 2");
  STD_TORCH_CHECK(settings.patch_stride >= 1 && settings.patch_stride <= 8, "patch_stride must be 1 to 8");
  STD_TORCH_CHECK(settings.descent_iterations >= 0 && settings.refinement_iterations >= 0,
                  "iterations must not be negative");
}

Tensor opencv_dis(const Tensor& frames, int64_t finest_level, int64_t patch_stride, int64_t descent_iterations,
                  int64_t refinement_iterations) {
  const DisSettings settings = {static_cast<int>(finest_level), static_cast<int>(patch_stride),
                                static_cast<int>(descent_iterations), static_cast<int>(refinement_iterations)};
  check_frames(frames);
  check(settings);
  const Tensor source = torch::stable::contiguous(frames);
  const int64_t pairs = frames.size(0) - 1, H = frames.size(1), W = frames.size(2);
  Tensor result = torch::stable::new_empty(source, {pairs, 2, H, W}, ScalarType::Float);
  const uint8_t* grey = source.const_data_ptr<uint8_t>();
  float* flow = result.mutable_data_ptr<float>();
  parallel_for(pairs, 1, [&](int64_t begin, int64_t end) {
    for (int64_t pair = begin; pair < end; ++pair) {
      const uint8_t* first = grey + pair * H * W;
      dis_flow(first, first + H * W, static_cast<int>(H), static_cast<int>(W), settings, flow + pair * 2 * H * W);
    }
  });
  return result;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(slt_fast, CPU, library) { library.impl("opencv_dis", TORCH_BOX(&opencv_dis)); }

}  // namespace slt_fast::opencv
