// The flow of a clip on a GPU, for code that knows nothing of CUDA.
#pragma once

#include <cstdint>

#include "../core/settings.h"

namespace slt_fast::cuda {

struct Clip {
  const uint8_t* grey;  // [pairs + 1, height, width]
  int64_t pairs;
  int height, width;
};

// Sweeps of a fixed point are at most this many.
int most_sweeps();

// How many of a clip's pairs are best computed at a time, and the floats of memory that so many need.
int64_t pairs_at_once(const Clip& clip, const Settings& settings);
int64_t workspace_size(const Clip& clip, const Settings& settings, int64_t pairs);

// Writes the flow [pairs, 2, height, width], so many pairs at a time: the same to the bit however many. All pointers
// are of the current device; everything is put on the stream, nothing waits. Throws std::runtime_error where a kernel
// cannot be launched.
void flow_of_clip(const Clip& clip, const Settings& settings, int64_t pairs, float* workspace, void* stream,
                  float* flow);

// Writes the grey values [pixels] of RGB ones [pixels, 3].
void grey_of_rgb(const uint8_t* rgb, int64_t pixels, void* stream, uint8_t* grey);

}  // namespace slt_fast::cuda
