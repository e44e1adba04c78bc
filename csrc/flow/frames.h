// What every operator expects of grey frames, whatever it computes and wherever.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>

namespace slt_fast {

// A patch, of which one at least must fit.
constexpr int64_t kLeastSide = 8;
// Below it the number of a pixel in its frame fits an int.
constexpr int64_t kSideLimit = 1 << 15;

inline void check_frames(const torch::stable::Tensor& frames) {
  STD_TORCH_CHECK(frames.scalar_type() == torch::headeronly::ScalarType::Byte && frames.dim() == 3,
                  "frames must be uint8 [T, H, W]");
  STD_TORCH_CHECK(frames.size(0) >= 2, "needs two frames at least");
  const int64_t H = frames.size(1), W = frames.size(2);
  STD_TORCH_CHECK(H >= kLeastSide && W >= kLeastSide, "frames must have 8 pixels a side");
  STD_TORCH_CHECK(H < kSideLimit && W < kSideLimit, "frames must have sides below 32768");
}

}  // namespace slt_fast
