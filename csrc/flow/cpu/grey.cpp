#include "../core/grey.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include "../checks.h"
#include "memory.h"
#include "threads.h"

namespace slt_fast {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Smaller parts do not pay for a thread.
constexpr int64_t kPixelsPerTask = 1 << 15;

Tensor rgb_to_grey(const Tensor& frames) {
  check_rgb(frames);
  const int64_t T = frames.size(0), H = frames.size(1), W = frames.size(2);
  const Tensor source = dense(frames);
  Tensor result = new_result<uint8_t>(source, {T, H, W}, ScalarType::Byte);
  const uint8_t* rgb = source.const_data_ptr<uint8_t>();
  uint8_t* out = result.mutable_data_ptr<uint8_t>();
  parallel_for(T * H * W, kPixelsPerTask, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      out[i] = grey(rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2]);
    }
  });
  return result;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(slt_fast, CPU, library) { library.impl("rgb_to_grey", TORCH_BOX(&rgb_to_grey)); }

}  // namespace slt_fast
