// The flow of a clip on a GPU, declared without CUDA's headers.
#pragma once

#include <cstdint>

#include "../core/settings.h"

namespace slt_fast::cuda {

struct Clip {
  const uint8_t* grey;  // [pairs + 1, height, width]
  int64_t pairs;
  int height, width;
};

// Returns the largest number of sweeps of a fixed point that the kernels can run.
int most_sweeps();

// Return how many of a clip's pairs to compute at a time, and the floats of memory that these need.
int64_t pairs_at_once(const Clip& clip, const Settings& settings);
int64_t workspace_size(const Clip& clip, const Settings& settings, int64_t pairs);

// Writes the flow [pairs, 2, height, width], `pairs` pairs at a time; their number does not change a bit of the result.
// All pointers belong to the current device. Everything is queued on the stream, and nothing waits. Throws
// std::runtime_error if a kernel cannot be launched.
void flow_of_clip(const Clip& clip, const Settings& settings, int64_t pairs, float* workspace, void* stream,
                  float* flow);

// Writes the grey values [pixels] of RGB values [pixels, 3].
void grey_of_rgb(const uint8_t* rgb, int64_t pixels, void* stream, uint8_t* grey);

}  // namespace slt_fast::cuda
