// Loops on torch's threads.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <unistd.h>

#include <cstdint>

namespace slt_fast {

inline const pid_t kLoadedBy = getpid();

// A forked process has none of its parent's threads, and OpenMP would wait for them forever: it gets one thread.
inline int64_t num_threads() { return getpid() == kLoadedBy ? torch::stable::get_num_threads() : 1; }

// Runs function(begin, end) for parts of 0..count, of at least `grain` each.
template <class Function>
void parallel_for(int64_t count, int64_t grain, const Function& function) {
  if (num_threads() > 1) {
    torch::stable::parallel_for(0, count, grain, function);
  } else if (count > 0) {
    function(int64_t{0}, count);
  }
}

}  // namespace slt_fast
