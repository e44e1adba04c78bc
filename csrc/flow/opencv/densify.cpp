#include "densify.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace slt_fast::opencv {
namespace {

// Where pixels of the first frame arrive in the second one, along one axis: between pixel `low` and the next.
struct Arrivals {
  std::vector<int> low;
  std::vector<float> to_low, to_high;  // distances, which sum to one

  explicit Arrivals(int count) : low(count), to_low(count), to_high(count) {}

  void set(int begin, int end, float motion, int length) {
    const float limit = static_cast<float>(length) - 1.0f - 0.001f;
#pragma GCC ivdep
    for (int i = begin; i < end; ++i) {
      const float position = std::min(std::max(0.0f, static_cast<float>(i) + motion), limit);
      low[i - begin] = static_cast<int>(position);
      to_low[i - begin] = position - static_cast<float>(low[i - begin]);
      to_high[i - begin] = static_cast<float>(low[i - begin] + 1) - position;
    }
  }
};

// A patch, with the rows and columns that it reaches beyond its own at the end of the image.
struct Reach {
  int top, bottom, left, right;
  Motion motion;
};

class Densifier {
 public:
  Densifier(const LevelFrames& frames, const PatchGrid& grid, Flow& flow)
      : frames_(frames),
        grid_(grid),
        flow_(flow),
        sums_(frames.first.height(), frames.first.width()),
        rows_(kPatchSize + grid.stride),
        columns_(kPatchSize + grid.stride),
        top_left_(columns_.low.size()),
        top_right_(top_left_.size()),
        bottom_left_(top_left_.size()),
        bottom_right_(top_left_.size()),
        weights_(top_left_.size()) {}

  // Adds the patches row by row: so every pixel sums in the order of OpenCV, which takes pixel after pixel.
  void run() {
    const int height = frames_.first.height(), width = frames_.first.width(), stride = grid_.stride;
    clear();
    for (int row = 0; row < grid_.rows; ++row) {
      const int top = row * stride, bottom = row == grid_.rows - 1 ? height : top + kPatchSize;
      for (int column = 0; column < grid_.columns; ++column) {
        const int left = column * stride, right = column == grid_.columns - 1 ? width : left + kPatchSize;
        add({top, bottom, left, right, grid_.row(row)[column]});
      }
    }
    divide();
  }

 private:
  void clear() {
    for (Plane* plane : {&flow_.u, &flow_.v}) {
      for (int y = 0; y < plane->height(); ++y) std::fill_n(plane->row(y), plane->width(), 0.0f);
    }
  }

  void add(const Reach& patch) {
    rows_.set(patch.top, patch.bottom, patch.motion.v, frames_.second.height());
    columns_.set(patch.left, patch.right, patch.motion.u, frames_.second.width());
    for (int y = patch.top; y < patch.bottom; ++y) {
      gather(rows_.low[y - patch.top], patch.right - patch.left);
      add_row(patch, y);
    }
  }

  void gather(int row, int count) {
    const float *top = frames_.second.row(row), *bottom = frames_.second.row(row + 1);
    for (int i = 0; i < count; ++i) {
      const int x = columns_.low[i];
      top_left_[i] = top[x];
      top_right_[i] = top[x + 1];
      bottom_left_[i] = bottom[x];
      bottom_right_[i] = bottom[x + 1];
    }
  }

  // In two loops, for the compiler vectorises neither of them when they are one.
  void add_row(const Reach& patch, int y) {
    const int count = patch.right - patch.left;
    set_weights(rows_.to_low[y - patch.top], rows_.to_high[y - patch.top], frames_.first.row(y) + patch.left, count);
    float *u = flow_.u.row(y) + patch.left, *v = flow_.v.row(y) + patch.left, *sum = sums_.row(y) + patch.left;
    const float *weight = weights_.data(), motion_u = patch.motion.u, motion_v = patch.motion.v;
#pragma GCC ivdep
    for (int i = 0; i < count; ++i) {
      u[i] += weight[i] * motion_u;
      v[i] += weight[i] * motion_v;
      sum[i] += weight[i];
    }
  }

  // The less a pixel differs from where the patch takes it, the more the patch's motion counts.
  void set_weights(float down, float up, const float* first, int count) {
    const float *right = columns_.to_low.data(), *left = columns_.to_high.data();
    const float *top_left = top_left_.data(), *top_right = top_right_.data();
    const float *bottom_left = bottom_left_.data(), *bottom_right = bottom_right_.data();
    float* weight = weights_.data();
#pragma GCC ivdep
    for (int i = 0; i < count; ++i) {
      const float difference = right[i] * down * bottom_right[i] + left[i] * down * bottom_left[i] +
                               right[i] * up * top_right[i] + left[i] * up * top_left[i] - first[i];
      weight[i] = 1 / std::max(1.0f, std::abs(difference));
    }
  }

  void divide() {
    for (int y = 0; y < sums_.height(); ++y) {
      float *u = flow_.u.row(y), *v = flow_.v.row(y);
      const float* sum = sums_.row(y);
#pragma GCC ivdep
      for (int x = 0; x < sums_.width(); ++x) {
        u[x] /= sum[x];
        v[x] /= sum[x];
      }
    }
  }

  const LevelFrames& frames_;
  const PatchGrid& grid_;
  Flow& flow_;
  Plane sums_;
  Arrivals rows_, columns_;
  std::vector<float> top_left_, top_right_, bottom_left_, bottom_right_, weights_;
};

}  // namespace

void densify(const LevelFrames& frames, const PatchGrid& grid, Flow& flow) { Densifier(frames, grid, flow).run(); }

}  // namespace slt_fast::opencv
