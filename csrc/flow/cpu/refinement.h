// The variational refinement of a level.
//
// On one thread, equations and half-sweeps run as a wave: half-sweep k works on row t - k while the equations of row t
// are set up. A row's coefficients are then needed for a few rows only and stay in the cache. Several threads run each
// step for all rows instead. A red pixel needs only black neighbours, so the order of rows does not change a bit.
#pragma once

#include "../core/refinement.h"
#include "../core/settings.h"
#include "plane.h"
#include "rows.h"
#include "warp.h"

namespace slt_fast {
namespace {

// A ring buffer that keeps only the newest rows.
class Ring {
 public:
  // `rows` rows stay readable.
  void resize(int rows, int row_size) {
    int capacity = 1;
    while (capacity < rows) capacity *= 2;
    mask_ = capacity - 1;
    row_size_ = row_size;
    values_ = buffer_.reserve(static_cast<size_t>(capacity) * row_size);
  }
  float* row(int y) const { return values_ + static_cast<ptrdiff_t>(y & mask_) * row_size_; }
  int row_size() const { return row_size_; }

 private:
  int mask_ = 0, row_size_ = 0;
  Buffer buffer_;
  float* values_ = nullptr;
};

class Refinement {
 public:
  // Refines the flow of a level in place.
  void run(const Plane& first, const Plane& second, const Settings& settings, const Threads* threads,
           SplitPlane& flow) {
    resize(first, settings, threads != nullptr);
    split(first, planes_.first);
    for (int warp = 0; warp < settings.warps; ++warp) {
      warp_frame(second, threads, flow);
      for (int k = 0; k < settings.fixed_points; ++k) {
        const FixedPoint step = {settings.sweeps, k == settings.fixed_points - 1};
        if (k == 0) {
          solve<true>(step, threads, flow);
        } else {
          solve<false>(step, threads, flow);
        }
      }
    }
  }

 private:
  static constexpr int kFields = sizeof(Relaxation<Lanes>) / sizeof(float);
  static constexpr int kRowsPerTask = 8;

  struct FixedPoint {
    int sweeps;
    bool is_last;  // in its warp: then the increment is added to the flow
  };

  void resize(const Plane& image, const Settings& settings, bool keeps_all_rows) {
    height_ = image.height();
    width_ = image.width();
    planes_.resize(height_, width_);
    increment_.resize(height_, width_, 2);
    const int rows = keeps_all_rows ? height_ + 1 : 2 * settings.sweeps + 2;
    half_weights_ = odd_blocks(kLanes + (width_ + 1) / 2 + 1);
    weights_.resize(rows, 2 * half_weights_);
    half_equations_ = kFields * (whole_blocks((width_ + 1) / 2) / kLanes);
    equations_.resize(rows, 2 * half_equations_);
    has_right_.resize(1, width_);
    for (int parity = 0; parity < 2; ++parity) {
      std::fill_n(has_right_.half(0, parity), kLanes * has_right_.blocks(parity), 1.0f);
    }
    has_right_.half(0, (width_ - 1) & 1)[(width_ - 1) >> 1] = 0;
  }

  void warp_frame(const Plane& second, const Threads* threads, const SplitPlane& flow) {
    for_rows(threads, height_, kRowsPerTask, [&](int begin, int end) {
      for (int y = begin; y < end; ++y) warp_row(second, flow, y, planes_);
    });
    for_rows(threads, height_, kRowsPerTask, [&](int begin, int end) {
      for (int y = begin; y < end; ++y) derive_row(y, planes_);
    });
  }

  // Runs one fixed point. In the first one of a warp the increment is zero.
  template <bool kIsFirst>
  void solve(const FixedPoint& step, const Threads* threads, SplitPlane& flow) {
    std::fill_n(weights_.row(-1), weights_.row_size(), 0.0f);  // no edges above the first row
    if (threads == nullptr) {
      solve_as_wave<kIsFirst>(step, flow);
    } else {
      solve_in_steps<kIsFirst>(step, threads, flow);
    }
  }

  template <bool kIsFirst>
  void solve_as_wave(const FixedPoint& step, SplitPlane& flow) {
    const int last_sweep = 2 * step.sweeps - 1;
    if (kIsFirst) increment_.clear_rows(0, 1);
    for (int t = 0; t < height_ + last_sweep; ++t) {
      if (t < height_) {
        // Cleared only now, so the row is in the cache when the first half-sweep reads it.
        if (kIsFirst && t + 1 < height_) increment_.clear_rows(t + 1, t + 2);
        set_weights<kIsFirst>(flow, t);
        set_equations<kIsFirst>(flow, t);
      }
      const int oldest = std::min(t, last_sweep);
      for (int k = std::max(0, t - height_ + 1); k <= oldest; ++k) relax_row(t - k, k);
      // The equations of later rows need the flow from row t on only.
      if (step.is_last && oldest == last_sweep) add_increment(t - last_sweep, flow);
    }
  }

  template <bool kIsFirst>
  void solve_in_steps(const FixedPoint& step, const Threads* threads, SplitPlane& flow) {
    const auto all_rows = [&](const auto& function) {
      for_rows(threads, height_, kRowsPerTask, [&](int begin, int end) {
        for (int y = begin; y < end; ++y) function(y);
      });
    };
    if (kIsFirst) increment_.clear_rows(0, height_);
    all_rows([&](int y) { set_weights<kIsFirst>(flow, y); });
    all_rows([&](int y) { set_equations<kIsFirst>(flow, y); });
    for (int k = 0; k < 2 * step.sweeps; ++k) all_rows([&](int y) { relax_row(y, k); });
    if (step.is_last) all_rows([&](int y) { add_increment(y, flow); });
  }

  float* weights(int y, int parity) const { return weights_.row(y) + kLanes + parity * half_weights_; }
  Relaxation<Lanes>* equations(int y, int parity) const {
    return reinterpret_cast<Relaxation<Lanes>*>(equations_.row(y) + parity * half_equations_);
  }

  // Differences to the right and down of a component of flow plus increment; 0 to the right of the last column.
  struct Forward {
    Lanes right, down;
  };
  template <bool kIsFirst>
  static Forward forward_at(const HalfRows& flow, const HalfRows& add, Lanes has_right, ptrdiff_t i) {
    Lanes centre = load(flow.centre + i), right = load(flow.sides + i + 1), down = load(flow.down + i);
    if (kIsFirst) return {right - centre, down - centre};
    centre += load(add.centre + i);
    right += load(add.sides + i + 1);
    down += load(add.down + i);
    return {has_right * (right - centre), down - centre};
  }

  template <bool kIsFirst>
  void set_weights(const SplitPlane& flow, int y) {
    const ptrdiff_t to_v = flow.component_stride();
    for (int parity = 0; parity < 2; ++parity) {
      const HalfRows rows = half_rows(flow, y, parity), add = half_rows(increment_, y, parity);
      const float* has_right = has_right_.half(0, parity);
      float* out = weights(y, parity);
      const ptrdiff_t end = kLanes * flow.blocks(parity);
      for (ptrdiff_t i = 0, j = to_v; i < end; i += kLanes, j += kLanes) {
        const Lanes mask = load(has_right + i);
        const Forward u = forward_at<kIsFirst>(rows, add, mask, i), v = forward_at<kIsFirst>(rows, add, mask, j);
        store(out + i, smoothness(u.right, u.down, v.right, v.down));
      }
    }
    weights(y, 1)[-1] = 0;  // no edge to the left of the first column
  }

  // The weights of the edges of eight pixels; `i` counts the pixels of the half row.
  struct EdgeRows {
    const float *own, *left, *up;
  };
  EdgeRows edge_rows(int y, int parity) const {
    return {weights(y, parity), weights(y, 1 - parity) - (1 - parity), weights(y - 1, parity)};
  }

  static Derivatives<Lanes> derivatives_at(const HalfRows& x, const HalfRows& y, const HalfRows& t, ptrdiff_t i) {
    return {load(x.centre + i),
            load(y.centre + i),
            load(t.centre + i),
            central(load(x.sides + i), load(x.sides + i + 1)),
            central(load(x.up + i), load(x.down + i)),
            central(load(y.up + i), load(y.down + i)),
            central(load(t.sides + i), load(t.sides + i + 1)),
            central(load(t.up + i), load(t.down + i))};
  }

  static Edges<Lanes> edges_at(const EdgeRows& rows, ptrdiff_t i) {
    return {load(rows.own + i), load(rows.left + i), load(rows.up + i)};
  }

  static Neighbours<Lanes> neighbours_at(const HalfRows& rows, ptrdiff_t i) {
    return {load(rows.sides + i), load(rows.sides + i + 1), load(rows.up + i), load(rows.down + i)};
  }

  template <bool kIsFirst>
  void set_equations(const SplitPlane& flow, int y) {
    for (int parity = 0; parity < 2; ++parity) {
      set_half_row_of_equations<kIsFirst>(flow, y, parity);
      // Lanes beyond the row must keep a zero increment, because they are neighbours of its last pixel.
      const int count = flow.count(parity), last = count / kLanes;
      for (int lane = count % kLanes; count % kLanes != 0 && lane < kLanes; ++lane) {
        equations(y, parity)[last].step_u[lane] = 0;
        equations(y, parity)[last].step_v[lane] = 0;
      }
    }
  }

  template <bool kIsFirst>
  void set_half_row_of_equations(const SplitPlane& flow, int y, int parity) {
    const HalfRows x = half_rows(planes_.x, y, parity), d_y = half_rows(planes_.y, y, parity);
    const HalfRows t = half_rows(planes_.difference, y, parity), uv = half_rows(flow, y, parity);
    const ptrdiff_t to_v = flow.component_stride(), end = kLanes * flow.blocks(parity);
    const float* add = increment_.half(y, parity);
    const EdgeRows edges = edge_rows(y, parity);
    const float* has_right = has_right_.half(0, parity);
    const float has_below = y == height_ - 1 ? 0.0f : 1.0f;
    Relaxation<Lanes>* out = equations(y, parity);
    for (ptrdiff_t i = 0, j = to_v; i < end; i += kLanes, j += kLanes, ++out) {
      const Derivatives<Lanes> d = derivatives_at(x, d_y, t, i);
      const Residuals<Lanes> left =
          kIsFirst ? Residuals<Lanes>{d.t, d.xt, d.yt} : residuals_after(d, load(add + i), load(add + j));
      *out = relaxation_of(data_equation(d, left), edges_at(edges, i), load(has_right + i) + has_below,
                           load(uv.centre + i), neighbours_at(uv, i), load(uv.centre + j), neighbours_at(uv, j));
    }
  }

  // Half-sweep k relaxes the red pixels (row + column is even) if k is even, else the black ones.
  void relax_row(int y, int k) {
    const int parity = (y + k) & 1;
    const ptrdiff_t to_v = increment_.component_stride(), end = kLanes * increment_.blocks(parity);
    const HalfRows rows = half_rows(increment_, y, y - 1, y + 1, parity);
    float* centre = increment_.half(y, parity);
    const EdgeRows edges = edge_rows(y, parity);
    const Relaxation<Lanes>* equation = equations(y, parity);
    for (ptrdiff_t i = 0, j = to_v; i < end; i += kLanes, j += kLanes, ++equation) {
      Lanes du = load(centre + i), dv = load(centre + j);
      relax(*equation, edges_at(edges, i), neighbours_at(rows, i), neighbours_at(rows, j), du, dv);
      store(centre + i, du);
      store(centre + j, dv);
    }
  }

  void add_increment(int y, SplitPlane& flow) {
    for (int component = 0; component < 2; ++component) {
      for (int parity = 0; parity < 2; ++parity) {
        const float* add = increment_.half(y, parity, component);
        float* out = flow.half(y, parity, component);
        for (int i = 0; i < kLanes * flow.blocks(parity); i += kLanes) store(out + i, load(out + i) + load(add + i));
      }
      flow.repeat_sides(y, component);
    }
  }

  int height_ = 0, width_ = 0, half_weights_ = 0, half_equations_ = 0;
  WarpedPlanes planes_;
  SplitPlane increment_, has_right_;
  Ring weights_, equations_;
};

}  // namespace
}  // namespace slt_fast
