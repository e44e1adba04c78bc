// Loops on torch's threads.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <unistd.h>

#include <cstdint>
#include <exception>
#include <mutex>

namespace slt_fast {

inline const pid_t kLoadedBy = getpid();

// A forked process has none of its parent's threads, and OpenMP would wait for them forever: it gets one thread.
inline int64_t num_threads() { return getpid() == kLoadedBy ? torch::stable::get_num_threads() : 1; }

// Runs function(begin, end) for parts of 0..count, of at least `grain` each. An exception of a part reaches the caller:
// torch's own loop would print it with a stack of frames and lose its type.
template <class Function>
void parallel_for(int64_t count, int64_t grain, const Function& function) {
  if (num_threads() <= 1) {
    if (count > 0) function(int64_t{0}, count);
    return;
  }
  std::exception_ptr error;
  std::mutex mutex;
  torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    try {
      function(begin, end);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      error = std::current_exception();
    }
  });
  if (error) std::rethrow_exception(error);
}

}  // namespace slt_fast
