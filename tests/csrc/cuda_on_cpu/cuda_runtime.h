// The part of CUDA that the flow's kernels use, on the CPU. Threads of a block are fibers, and blocks run one by one.
//
// A fiber runs until a barrier or a shuffle and waits there for the others. The result must not depend on the order of
// the fibers: `order` reverses it, which reveals a missing barrier.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <tuple>
#include <vector>

// Selects the GPU's formulas, whose quotients are approximate.
#define __CUDA_ARCH__ 800
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#if defined(__SANITIZE_ADDRESS__)
// The sanitizer detects accesses beyond the ends of a plain variable.
#define __shared__ static
#else
#define __shared__ static __attribute__((section("shared_memory")))
extern "C" char __start_shared_memory[], __stop_shared_memory[];
#endif

struct alignas(8) float2 {
  float x, y;
};

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };
typedef struct CUstream_st* cudaStream_t;

inline dim3 gridDim, blockIdx, threadIdx;

namespace cuda_on_cpu {

enum class Order { kForward, kBackward };
inline Order order = Order::kForward;
inline int64_t num_launches = 0;

[[noreturn]] inline void stop(const char* reason) {
  std::fprintf(stderr, "cuda_on_cpu: %s\n", reason);
  std::abort();
}

enum class State { kReady, kAtBarrier, kAtShuffle, kDone };

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  State state;
  float given, received;  // by a shuffle
  int partner;            // bits in which the partner's lane differs
};

constexpr int kLanesOfWarp = 32;
constexpr size_t kStackBytes = 1 << 17;

// The threads of the running block.
class Block {
 public:
  void run(int threads, void (*body)(void*), void* argument) {
    body_ = body;
    argument_ = argument;
    threads_ = threads;
    while (static_cast<int>(fibers_.size()) < threads) fibers_.emplace_back(new Fiber);
    for (int i = 0; i < threads; ++i) start(*fibers_[i]);
    while (run_ready()) release();
  }

  // Called by a fiber; returns when the others have arrived.
  void wait(State state) {
    Fiber& fiber = *fibers_[current_];
    fiber.state = state;
    swapcontext(&fiber.context, &scheduler_);
  }

  Fiber& current() { return *fibers_[current_]; }

 private:
  static void enter();

  void start(Fiber& fiber) {
    getcontext(&fiber.context);
    if (!fiber.stack) fiber.stack.reset(new char[kStackBytes]);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = &scheduler_;
    fiber.state = State::kReady;
    makecontext(&fiber.context, enter, 0);
  }

  // Returns true if a fiber is not done.
  bool run_ready() {
    bool is_waiting = false, has_run = false;
    for (int i = 0; i < threads_; ++i) {
      current_ = order == Order::kForward ? i : threads_ - 1 - i;
      Fiber& fiber = *fibers_[current_];
      if (fiber.state == State::kReady) {
        has_run = true;
        threadIdx = dim3(current_, 0, 0);
        swapcontext(&scheduler_, &fiber.context);
      }
      is_waiting = is_waiting || fiber.state != State::kDone;
    }
    if (is_waiting && !has_run) stop("threads wait for one another: not all of them came to a barrier or a shuffle");
    return is_waiting;
  }

  void release() {
    bool is_barrier = true;
    for (int i = 0; i < threads_; ++i) {
      const State state = fibers_[i]->state;
      is_barrier = is_barrier && (state == State::kAtBarrier || state == State::kDone);
    }
    for (int first = 0; first < threads_; first += kLanesOfWarp) {
      if (is_barrier) {
        for (int i = first; i < first + kLanesOfWarp; ++i) {
          if (fibers_[i]->state == State::kAtBarrier) fibers_[i]->state = State::kReady;
        }
      } else {
        shuffle(first);
      }
    }
  }

  void shuffle(int first) {
    for (int i = first; i < first + kLanesOfWarp; ++i) {
      if (fibers_[i]->state != State::kAtShuffle || fibers_[i]->partner != fibers_[first]->partner) return;
    }
    for (int i = first; i < first + kLanesOfWarp; ++i) {
      fibers_[i]->received = fibers_[first + ((i - first) ^ fibers_[i]->partner)]->given;
      fibers_[i]->state = State::kReady;
    }
  }

  std::vector<std::unique_ptr<Fiber>> fibers_;
  ucontext_t scheduler_;
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  int threads_ = 0, current_ = 0;
};

inline Block block;

inline void Block::enter() {
  block.body_(block.argument_);
  block.current().state = State::kDone;
}

// A block starts with the shared memory that another block left.
inline void spoil_shared_memory() {
#if !defined(__SANITIZE_ADDRESS__)
  std::memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory);
#endif
}

}  // namespace cuda_on_cpu

inline void __syncthreads() { cuda_on_cpu::block.wait(cuda_on_cpu::State::kAtBarrier); }

inline float __shfl_xor_sync(unsigned mask, float value, int partner) {
  if (mask != 0xffffffff) cuda_on_cpu::stop("only shuffles of whole warps are known");
  cuda_on_cpu::Fiber& fiber = cuda_on_cpu::block.current();
  fiber.given = value;
  fiber.partner = partner;
  cuda_on_cpu::block.wait(cuda_on_cpu::State::kAtShuffle);
  return fiber.received;
}

namespace cuda_on_cpu {

// Off by up to two units in the last place, as on a GPU; the direction follows from the value.
inline float disturbed(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits += static_cast<int>(bits * 2654435761u >> 16) % 5 - 2;
  std::memcpy(&value, &bits, sizeof(bits));
  return value;
}

}  // namespace cuda_on_cpu

inline float __fdividef(float numerator, float denominator) { return cuda_on_cpu::disturbed(numerator / denominator); }

inline float rsqrtf(float value) { return cuda_on_cpu::disturbed(1 / std::sqrt(value)); }

inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid configuration argument";
}

inline cudaError_t cudaGetLastError() { return cudaSuccess; }

template <class Job>
cudaError_t cudaLaunchKernel(void (*kernel)(Job), dim3 blocks, dim3 threads, void** arguments, size_t, cudaStream_t) {
  const bool is_small = blocks.x < (1u << 31) && blocks.y < (1u << 16) && blocks.z < (1u << 16);
  if (!is_small || blocks.x * blocks.y * blocks.z == 0 || threads.x > 1024 ||
      threads.x % cuda_on_cpu::kLanesOfWarp != 0) {
    return cudaErrorInvalidConfiguration;
  }
  std::tuple<void (*)(Job), Job> call(kernel, *static_cast<Job*>(arguments[0]));
  const auto body = [](void* argument) {
    const auto& call = *static_cast<std::tuple<void (*)(Job), Job>*>(argument);
    std::get<0>(call)(std::get<1>(call));
  };
  ++cuda_on_cpu::num_launches;
  const int64_t count = static_cast<int64_t>(blocks.x) * blocks.y * blocks.z;
  gridDim = blocks;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t k = cuda_on_cpu::order == cuda_on_cpu::Order::kForward ? i : count - 1 - i;
    blockIdx = dim3(k % blocks.x, k / blocks.x % blocks.y, k / blocks.x / blocks.y);
    cuda_on_cpu::spoil_shared_memory();
    cuda_on_cpu::block.run(threads.x, body, &call);
  }
  return cudaSuccess;
}
