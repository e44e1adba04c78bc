// Checks of an operator's arguments, the same on every device.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <stdexcept>

#include "core/settings.h"

namespace slt_fast {

// Below this side, the index of a pixel in its frame fits an int.
constexpr int64_t kSideLimit = 1 << 15;

inline void require(bool holds, const char* message) {
  if (!holds) throw std::runtime_error(message);
}

inline Settings settings_of(int64_t finest_level, int64_t patch_stride, int64_t descent_iterations, int64_t warps,
                            int64_t fixed_points, int64_t sweeps) {
  return {static_cast<int>(finest_level), static_cast<int>(patch_stride), static_cast<int>(descent_iterations),
          static_cast<int>(warps),        static_cast<int>(fixed_points), static_cast<int>(sweeps)};
}

inline void check(const torch::stable::Tensor& frames, const Settings& settings) {
  require(frames.scalar_type() == torch::headeronly::ScalarType::Byte && frames.dim() == 3,
          "frames must be uint8 [T, H, W]");
  require(frames.size(0) >= 2, "needs two frames at least");
  const int64_t H = frames.size(1), W = frames.size(2);
  require(H >= kPatchSize && W >= kPatchSize, "frames must have 8 pixels a side");
  require(H < kSideLimit && W < kSideLimit, "frames must have sides below 32768");
  require(settings.finest_level >= 0 && settings.finest_level < kMaxLevels, "no such level");
  require(settings.patch_stride >= 1 && settings.patch_stride <= kPatchSize, "patch_stride must be 1 to 8");
  require(settings.descent_iterations >= 0 && settings.warps >= 0, "iterations must not be negative");
  require(settings.fixed_points >= 1 && settings.sweeps >= 1, "needs a fixed point and a sweep at least");
}

inline void check_rgb(const torch::stable::Tensor& frames) {
  require(frames.scalar_type() == torch::headeronly::ScalarType::Byte, "frames must be uint8");
  require(frames.dim() == 4 && frames.size(3) == 3, "frames must be [T, H, W, 3]");
}

}  // namespace slt_fast
