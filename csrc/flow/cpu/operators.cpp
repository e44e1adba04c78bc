// The flow's operators on the CPU.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <string>

#include "../checks.h"
#include "levels.h"
#include "memory.h"
#include "threads.h"

namespace slt_fast {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

void run_on_threads(int64_t count, int64_t grain, Threads::Body body, const void* context) {
  parallel_for(count, grain, [=](int64_t begin, int64_t end) { body(context, begin, end); });
}

Tensor disvr(const Tensor& frames, int64_t finest_level, int64_t patch_stride, int64_t descent_iterations,
             int64_t warps, int64_t fixed_points, int64_t sweeps) {
  const Settings settings = settings_of(finest_level, patch_stride, descent_iterations, warps, fixed_points, sweeps);
  check(frames, settings);
  const Tensor source = dense(frames);
  const int64_t pairs = frames.size(0) - 1, H = frames.size(1), W = frames.size(2);
  Tensor result = new_result<float>(source, {pairs, 2, H, W}, ScalarType::Float);
  const Clip clip = {source.const_data_ptr<uint8_t>(), static_cast<int>(H), static_cast<int>(W)};
  float* flow = result.mutable_data_ptr<float>();
  const FlowOfPairs flow_of_pairs = best_instruction_set().flow_of_pairs;
  const int64_t threads = num_threads();
  if (pairs >= threads) {
    const auto some_pairs = [&](int64_t begin, int64_t end) {
      flow_of_pairs(clip, begin, end, settings, flow + begin * 2 * H * W, nullptr);
    };
    parallel_for(pairs, 1, some_pairs);
  } else {  // too few pairs for all threads: the threads share the rows of each pair
    const Threads rows = {run_on_threads};
    flow_of_pairs(clip, 0, pairs, settings, flow, &rows);
  }
  return result;
}

std::string instruction_set() { return best_instruction_set().name; }

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(slt_fast, CPU, library) { library.impl("disvr", TORCH_BOX(&disvr)); }
STABLE_TORCH_LIBRARY_IMPL(slt_fast, CompositeExplicitAutograd, library) {
  library.impl("cpu_instruction_set", TORCH_BOX(&instruction_set));
}

}  // namespace slt_fast
