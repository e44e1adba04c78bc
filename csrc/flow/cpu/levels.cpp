#include "levels.h"

#include <cstdlib>
#include <cstring>

#include "targets.h"

namespace slt_fast {
namespace {

bool has_avx2() {
#if SLT_FAST_HAS_AVX2_BUILD
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

}  // namespace

InstructionSet best_instruction_set() {
  const char* wish = std::getenv("SLT_FAST_CPU");
  const bool is_plain = wish != nullptr && std::strcmp(wish, "baseline") == 0;
#if SLT_FAST_HAS_AVX2_BUILD
  if (!is_plain && has_avx2()) return {"avx2", avx2::flow_of_pairs};
#endif
  return {"baseline", baseline::flow_of_pairs};
}

}  // namespace slt_fast
