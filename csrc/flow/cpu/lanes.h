// Eight floats at once: one AVX register, or two registers of the baseline.
#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "../core/refinement.h"

namespace slt_fast {

constexpr int kLanes = 8;

typedef float Lanes __attribute__((vector_size(4 * kLanes)));
typedef float LanesAnywhere __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

SLT_FAST_FORMULA Lanes load(const float* values) { return *reinterpret_cast<const LanesAnywhere*>(values); }

SLT_FAST_FORMULA void store(float* values, Lanes lanes) { *reinterpret_cast<LanesAnywhere*>(values) = lanes; }

typedef float Half __attribute__((vector_size(4 * kLanes / 2)));

union Halves {
  Lanes all;
  Half half[2];
};

// Sums in one fixed order, the same in every build.
SLT_FAST_FORMULA float sum_of(Lanes lanes) {
  const Halves halves = {lanes};
  const Half sums = halves.half[0] + halves.half[1];
  return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

SLT_FAST_FORMULA Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }

template <>
struct Math<Lanes> {
  SLT_FAST_FORMULA Lanes square_root(Lanes lanes) {
#if defined(SLT_FAST_AVX)
    return reinterpret_cast<Lanes>(_mm256_sqrt_ps(reinterpret_cast<__m256>(lanes)));
#elif defined(__SSE2__)
    Halves value = {lanes};
    value.half[0] = _mm_sqrt_ps(value.half[0]);
    value.half[1] = _mm_sqrt_ps(value.half[1]);
    return value.all;
#else
    for (int i = 0; i < kLanes; ++i) lanes[i] = std::sqrt(lanes[i]);
    return lanes;
#endif
  }
};

}  // namespace slt_fast
