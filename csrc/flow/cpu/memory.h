// Memory of the operators' results on the CPU.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <new>

namespace slt_fast {

// Throws bad_alloc, a MemoryError in Python, if the memory cannot be had now. torch's own error would be printed with a
// stack of frames and lose its type.
inline void require_memory(int64_t count, int64_t value_size) {
  void* memory = nullptr;
  if (count <= std::numeric_limits<int64_t>::max() / value_size) memory = std::malloc(count * value_size);
  if (memory == nullptr && count > 0) throw std::bad_alloc();
  std::free(memory);
}

inline torch::stable::Tensor dense(const torch::stable::Tensor& frames) {
  if (!frames.is_contiguous()) require_memory(frames.numel(), 1);
  return torch::stable::contiguous(frames);
}

template <class Value>
torch::stable::Tensor new_result(const torch::stable::Tensor& frames, std::initializer_list<int64_t> sizes,
                                 torch::headeronly::ScalarType type) {
  int64_t count = 1;
  for (const int64_t size : sizes) {
    if (size > 0 && count > std::numeric_limits<int64_t>::max() / size) throw std::bad_alloc();
    count *= size;
  }
  require_memory(count, sizeof(Value));
  return torch::stable::new_empty(frames, sizes, type);
}

}  // namespace slt_fast
