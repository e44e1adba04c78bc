// What marks a formula of the torch-free core: one source for the CPU, whatever its vectors, and the GPU.
#pragma once

// Internal linkage: each CPU level has its own copies, so that none runs instructions of another level.
#if defined(__CUDACC__)
#define SLT_FAST_FORMULA static __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define SLT_FAST_FORMULA [[maybe_unused]] static inline __attribute__((always_inline))
#else
#define SLT_FAST_FORMULA static inline
#endif
