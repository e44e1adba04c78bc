#include "targets.h"

#if SLT_FAST_HAS_AVX2_BUILD
// Included before the target changes: the linker keeps one copy of the standard library's functions, which must not
// need AVX2.
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "../core/settings.h"
#include "levels.h"

#pragma GCC target("avx2,fma")
#define SLT_FAST_INSTRUCTION_SET avx2
#define SLT_FAST_AVX
#include "disvr.h"
#endif
