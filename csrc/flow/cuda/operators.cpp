// The flow's operators on a GPU.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include "../checks.h"
#include "flow.h"

namespace slt_fast::cuda {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using torch::stable::accelerator::DeviceGuard;

void* current_stream(const Tensor& tensor) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  return stream;
}

Tensor disvr(const Tensor& frames, int64_t finest_level, int64_t patch_stride, int64_t descent_iterations,
             int64_t warps, int64_t fixed_points, int64_t sweeps) {
  const Settings settings = settings_of(finest_level, patch_stride, descent_iterations, warps, fixed_points, sweeps);
  check(frames, settings);
  STD_TORCH_CHECK(sweeps <= most_sweeps(), "the GPU's kernels make ", most_sweeps(), " sweeps at most, found ", sweeps);
  const DeviceGuard guard(frames.get_device_index());
  const Tensor source = torch::stable::contiguous(frames);
  const int64_t T = frames.size(0), H = frames.size(1), W = frames.size(2);
  const Clip clip = {source.const_data_ptr<uint8_t>(), T - 1, static_cast<int>(H), static_cast<int>(W)};
  Tensor result = torch::stable::new_empty(source, {T - 1, 2, H, W}, ScalarType::Float);
  const int64_t pairs = pairs_at_once(clip, settings);
  Tensor workspace = torch::stable::new_empty(source, {workspace_size(clip, settings, pairs)}, ScalarType::Float);
  flow_of_clip(clip, settings, pairs, workspace.mutable_data_ptr<float>(), current_stream(frames),
               result.mutable_data_ptr<float>());
  return result;
}

Tensor rgb_to_grey(const Tensor& frames) {
  check_rgb(frames);
  const DeviceGuard guard(frames.get_device_index());
  const int64_t T = frames.size(0), H = frames.size(1), W = frames.size(2);
  const Tensor source = torch::stable::contiguous(frames);
  Tensor result = torch::stable::new_empty(source, {T, H, W});
  grey_of_rgb(source.const_data_ptr<uint8_t>(), T * H * W, current_stream(frames), result.mutable_data_ptr<uint8_t>());
  return result;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(slt_fast, CUDA, library) {
  library.impl("disvr", TORCH_BOX(&disvr));
  library.impl("rgb_to_grey", TORCH_BOX(&rgb_to_grey));
}

}  // namespace slt_fast::cuda
