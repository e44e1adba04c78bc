// The flow's CUDA kernels as functions of C, compiled for the CPU; see cuda_on_cpu/cuda_runtime.h.
#include <stdexcept>
#include <string>
#include <vector>

#include "../../csrc/flow/cuda/flow.cu"

namespace {

using slt_fast::Settings;
using slt_fast::cuda::Clip;
using slt_fast::cuda::Workspace;

Settings settings_from(const int* values) { return {values[0], values[1], values[2], values[3], values[4], values[5]}; }

}  // namespace

extern "C" {

// Writes the flow of a clip, `pairs_at_once` pairs at a time, with threads and blocks in order or backwards. If `level`
// is a level of the pyramid, also writes that level of the last frames. Returns how many kernels were launched.
int64_t flow_of_clip(const uint8_t* grey, int64_t pairs, int height, int width, const int* settings_values,
                     int64_t pairs_at_once, bool is_backward, float* flow, int level, float* frames) {
  cuda_on_cpu::order = is_backward ? cuda_on_cpu::Order::kBackward : cuda_on_cpu::Order::kForward;
  cuda_on_cpu::num_launches = 0;
  const Clip clip = {grey, pairs, height, width};
  const Settings settings = settings_from(settings_values);
  const int64_t size = slt_fast::cuda::workspace_size(clip, settings, pairs_at_once);
  std::vector<float> memory(size, std::nanf(""));
  slt_fast::cuda::flow_of_clip(clip, settings, pairs_at_once, memory.data(), nullptr, flow);
  const Workspace space(clip, settings, pairs_at_once, memory.data());
  if (level >= 0 && level <= space.levels.coarsest) {
    const int64_t count = (pairs_at_once + 1) * slt_fast::cuda::size_of_level(clip, level).pixels();
    std::copy_n(space.frames[level], count, frames);
  }
  return cuda_on_cpu::num_launches;
}

int64_t pairs_at_once(int64_t pairs, int height, int width, const int* settings_values) {
  return slt_fast::cuda::pairs_at_once({nullptr, pairs, height, width}, settings_from(settings_values));
}

int64_t workspace_size(int64_t pairs, int height, int width, const int* settings_values) {
  return slt_fast::cuda::workspace_size({nullptr, pairs, height, width}, settings_from(settings_values), pairs);
}

void grey_of_rgb(const uint8_t* rgb, int64_t pixels, uint8_t* grey) {
  slt_fast::cuda::grey_of_rgb(rgb, pixels, nullptr, grey);
}

// Returns the message of a launch that CUDA refuses.
const char* message_of_too_many_pairs() {
  static std::string message;
  const uint8_t grey = 0;
  try {
    const slt_fast::cuda::FloatJob job = {&grey, {1, 1}, nullptr};
    slt_fast::cuda::launch(slt_fast::cuda::float_kernel, dim3(1, 1 << 16), slt_fast::cuda::kPixelThreads, nullptr, job);
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  return message.c_str();
}
}
