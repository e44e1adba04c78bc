// The same code built for several instruction sets; the machine's best one is chosen at run time.
#pragma once

#include <cstdint>

#include "../core/settings.h"
#include "rows.h"

namespace slt_fast {

struct Clip {
  const uint8_t* grey;  // [frames, height, width]
  int height, width;
};

// Writes the flow [2, height, width] of each of the pairs begin..end (frames t and t+1), from `flow` on. Threads, if
// given, share the rows of a pair and do not change a bit of the result.
using FlowOfPairs = void (*)(const Clip& clip, int64_t begin, int64_t end, const Settings& settings, float* flow,
                             const Threads* threads);

struct InstructionSet {
  const char* name;
  FlowOfPairs flow_of_pairs;
};

namespace baseline {
void flow_of_pairs(const Clip&, int64_t, int64_t, const Settings&, float*, const Threads*);
}
namespace avx2 {
void flow_of_pairs(const Clip&, int64_t, int64_t, const Settings&, float*, const Threads*);
}

// The environment variable SLT_FAST_CPU=baseline selects the baseline.
InstructionSet best_instruction_set();

}  // namespace slt_fast
