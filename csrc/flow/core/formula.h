// Marks a formula of the core, which needs no torch: one source for the CPU, its vectors and the GPU.
#pragma once

// Internal linkage: each instruction set has its own copies, so none runs instructions of another one.
#if defined(__CUDACC__)
#define SLT_FAST_FORMULA static __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define SLT_FAST_FORMULA [[maybe_unused]] static inline __attribute__((always_inline))
#else
#define SLT_FAST_FORMULA static inline
#endif
