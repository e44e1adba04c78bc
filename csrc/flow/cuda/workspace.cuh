// The memory for the flow of a clip.
#pragma once

#include "../core/patch.h"
#include "flow.h"
#include "launch.cuh"
#include "plane.cuh"

namespace slt_fast::cuda {

inline Size size_of_level(const Clip& clip, int level) { return {clip.height >> level, clip.width >> level}; }

class Workspace {
 public:
  // Divides the memory for `pairs` pairs at a time. With a null pointer it only computes the size.
  Workspace(const Clip& clip, const Settings& settings, int64_t pairs, float* memory)
      : levels(levels_of(clip.height, clip.width, settings.finest_level)), memory_(memory) {
    for (int level = 0; level <= levels.coarsest; ++level) {
      const int64_t pixels = size_of_level(clip, level).pixels();
      frames[level] = take<float>((pairs + 1) * pixels);
      flows[level] = take<float2>(level >= levels.finest ? pairs * pixels : 0);
    }
    take_finest(size_of_level(clip, levels.finest), settings, pairs);
  }

  int64_t size() const { return size_; }

  const Levels levels;
  float* frames[kMaxLevels];  // [pairs + 1, height, width]
  // [pairs, height, width]. All but `flows` have the size of the finest level: the other levels need less.
  float2 *flows[kMaxLevels], *other_flow, *across, *increments[2];
  float* down;
  Motion* motions;  // [pairs, grid rows, grid columns]

 private:
  void take_finest(const Size& size, const Settings& settings, int64_t pairs) {
    const int64_t pixels = settings.warps > 0 ? pairs * size.pixels() : 0;
    other_flow = take<float2>(pixels);
    across = take<float2>(pixels);
    down = take<float>(pixels);
    // The last fixed point of a warp writes the flow; those before it alternate between two buffers.
    for (int i = 0; i < 2; ++i) increments[i] = take<float2>(settings.fixed_points > 1 + i ? pixels : 0);
    const int64_t rows = patches_along(size.height, settings.patch_stride);
    const int64_t columns = patches_along(size.width, settings.patch_stride);
    motions = take<Motion>(pairs * rows * columns);
  }

  template <class Value>
  Value* take(int64_t count) {
    constexpr int64_t kAlignment = 64;  // floats
    float* taken = memory_ == nullptr ? nullptr : memory_ + size_;
    const int64_t floats = count * static_cast<int64_t>(sizeof(Value) / sizeof(float));
    size_ += (floats + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<Value*>(taken);
  }

  float* memory_;
  int64_t size_ = 0;
};

}  // namespace slt_fast::cuda
