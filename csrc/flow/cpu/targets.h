// The instruction sets that this compiler can build besides its baseline.
#pragma once

// Clang accepts the pragma that switches the target, but its vector types do not follow it.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SLT_FAST_HAS_AVX2_BUILD 1
#else
#define SLT_FAST_HAS_AVX2_BUILD 0
#endif
