// Loops over rows, on one thread or on the caller's threads.
#pragma once

#include <cstdint>

namespace slt_fast {

// Runs body(context, begin, end) for parts of 0..count. A plain function, so no thread library is needed here.
struct Threads {
  using Body = void (*)(const void* context, int64_t begin, int64_t end);
  void (*run)(int64_t count, int64_t grain, Body body, const void* context);
};

// If `threads` is null, the calling thread does it all.
template <class Function>
void for_rows(const Threads* threads, int count, int grain, const Function& function) {
  if (threads == nullptr || count <= grain) {
    function(0, count);
    return;
  }
  const auto body = [](const void* context, int64_t begin, int64_t end) {
    (*static_cast<const Function*>(context))(static_cast<int>(begin), static_cast<int>(end));
  };
  threads->run(count, grain, body, &function);
}

}  // namespace slt_fast
