// The variational refinement of a level.
//
// A row of equations and the half-sweeps run as a wave: half-sweep k works on row t - k while the equations of row t
// are set up, so that a row's coefficients live for a few rows only, in the cache. Red pixels need black neighbours
// alone, so the order of rows changes nothing: with several threads, which take each step for all rows, the result is
// the same to the bit.
#pragma once

#include "../core/refinement.h"
#include "../core/settings.h"
#include "plane.h"
#include "rows.h"
#include "warp.h"

namespace slt_fast {
namespace {

// Rows of something, of which only the newest are kept.
class Ring {
 public:
  // `rows` is how many rows stay readable.
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
        const SplitPlane& current = k == 0 ? flow : current_;
        if (k == 0) {
          solve<true>(flow, current, settings.sweeps, threads);
        } else {
          solve<false>(flow, current, settings.sweeps, threads);
        }
      }
      take_current(flow);
    }
  }

 private:
  static constexpr int kFields = sizeof(Relaxation<Lanes>) / sizeof(float);
  static constexpr int kRowsPerTask = 8;

  void resize(const Plane& image, const Settings& settings, bool keeps_all_rows) {
    height_ = image.height();
    width_ = image.width();
    planes_.resize(height_, width_);
    current_.resize(height_, width_, 2);
    increment_.resize(height_, width_, 2);
    const int rows = keeps_all_rows ? height_ + 1 : 2 * settings.sweeps + 2;
    half_weights_ = odd_blocks(kLanes + (width_ + 1) / 2 + 1);
    weights_.resize(rows, 2 * half_weights_);
    half_equations_ = kFields * whole_blocks((width_ + 1) / 2);
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
      increment_.clear_rows(begin, end);
    });
    for_rows(threads, height_, kRowsPerTask, [&](int begin, int end) {
      for (int y = begin; y < end; ++y) derive_row(y, planes_);
    });
  }

  // One fixed point, after which current_ = flow + increment_. At the first one the increment is zero.
  template <bool kIsFirst>
  void solve(const SplitPlane& flow, const SplitPlane& current, int sweeps, const Threads* threads) {
    std::fill_n(weights_.row(-1), weights_.row_size(), 0.0f);  // no edges above the first row
    const auto all_rows = [&](const auto& step) {
      for_rows(threads, height_, kRowsPerTask, [&](int begin, int end) {
        for (int y = begin; y < end; ++y) step(y);
      });
    };
    if (threads == nullptr) {
      for (int t = 0; t < height_ - 1 + 2 * sweeps; ++t) {
        if (t < height_) {
          set_weights(current, t);
          set_equations<kIsFirst>(flow, t);
        }
        const int oldest = std::min(t, 2 * sweeps - 1);
        for (int k = std::max(0, t - height_ + 1); k <= oldest; ++k) relax_row(t - k, k);
        if (oldest == 2 * sweeps - 1) set_current(flow, t - oldest);
      }
      return;
    }
    all_rows([&](int y) { set_weights(current, y); });
    all_rows([&](int y) { set_equations<kIsFirst>(flow, y); });
    for (int k = 0; k < 2 * sweeps; ++k) all_rows([&](int y) { relax_row(y, k); });
    all_rows([&](int y) { set_current(flow, y); });
  }

  float* weights(int y, int parity) const { return weights_.row(y) + kLanes + parity * half_weights_; }
  Relaxation<Lanes>* equations(int y, int parity) const {
    return reinterpret_cast<Relaxation<Lanes>*>(equations_.row(y) + parity * half_equations_);
  }

  void set_weights(const SplitPlane& flow, int y) {
    for (int parity = 0; parity < 2; ++parity) {
      const HalfRows u = half_rows(flow, y, parity, 0), v = half_rows(flow, y, parity, 1);
      float* out = weights(y, parity);
      for (int i = 0; i < kLanes * flow.blocks(parity); i += kLanes) {
        const Lanes at_u = load(u.centre + i), at_v = load(v.centre + i);
        store(out + i, smoothness(load(u.right + i) - at_u, load(u.down + i) - at_u, load(v.right + i) - at_v,
                                  load(v.down + i) - at_v));
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

  static Derivatives<Lanes> derivatives_at(const HalfRows& x, const HalfRows& y, const HalfRows& t, int i) {
    return {load(x.centre + i),
            load(y.centre + i),
            load(t.centre + i),
            central(load(x.left + i), load(x.right + i)),
            central(load(x.up + i), load(x.down + i)),
            central(load(y.up + i), load(y.down + i)),
            central(load(t.left + i), load(t.right + i)),
            central(load(t.up + i), load(t.down + i))};
  }

  static Edges<Lanes> edges_at(const EdgeRows& rows, int i) {
    return {load(rows.own + i), load(rows.left + i), load(rows.up + i)};
  }

  static Neighbours<Lanes> neighbours_at(const HalfRows& rows, int i) {
    return {load(rows.left + i), load(rows.right + i), load(rows.up + i), load(rows.down + i)};
  }

  template <bool kIsFirst>
  void set_equations(const SplitPlane& flow, int y) {
    for (int parity = 0; parity < 2; ++parity) {
      set_half_row_of_equations<kIsFirst>(flow, y, parity);
      // Lanes beyond the row must keep their increment of zero: they are neighbours of its last pixel.
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
    const HalfRows t = half_rows(planes_.difference, y, parity);
    const HalfRows u = half_rows(flow, y, parity, 0), v = half_rows(flow, y, parity, 1);
    const float *du = increment_.half(y, parity, 0), *dv = increment_.half(y, parity, 1);
    const EdgeRows edges = edge_rows(y, parity);
    const float* has_right = has_right_.half(0, parity);
    const float has_below = y == height_ - 1 ? 0.0f : 1.0f;
    Relaxation<Lanes>* out = equations(y, parity);
    for (int block = 0; block < flow.blocks(parity); ++block) {
      const int i = block * kLanes;
      const Derivatives<Lanes> d = derivatives_at(x, d_y, t, i);
      const Residuals<Lanes> left =
          kIsFirst ? Residuals<Lanes>{d.t, d.xt, d.yt} : residuals_after(d, load(du + i), load(dv + i));
      out[block] = relaxation_of(data_equation(d, left), edges_at(edges, i), load(has_right + i) + has_below,
                                 load(u.centre + i), neighbours_at(u, i), load(v.centre + i), neighbours_at(v, i));
    }
  }

  // Half-sweep k: the red pixels, of which row + column is even, or the black ones.
  void relax_row(int y, int k) {
    const int parity = (y + k) & 1;
    const ptrdiff_t to_v = increment_.component_stride();
    float* centre = increment_.half(y, parity);
    const float *other = increment_.half(y, 1 - parity), *left = other - (1 - parity), *right = other + parity;
    const float *up = increment_.half(y - 1, parity), *down = increment_.half(y + 1, parity);
    const EdgeRows edges = edge_rows(y, parity);
    const Relaxation<Lanes>* equation = equations(y, parity);
    for (int i = 0; i < kLanes * increment_.blocks(parity); i += kLanes, ++equation) {
      const Neighbours<Lanes> dus = {load(left + i), load(right + i), load(up + i), load(down + i)};
      const Neighbours<Lanes> dvs = {load(left + i + to_v), load(right + i + to_v), load(up + i + to_v),
                                     load(down + i + to_v)};
      Lanes du = load(centre + i), dv = load(centre + i + to_v);
      relax(*equation, edges_at(edges, i), dus, dvs, du, dv);
      store(centre + i, du);
      store(centre + i + to_v, dv);
    }
  }

  void set_current(const SplitPlane& flow, int y) {
    for (int component = 0; component < 2; ++component) {
      for (int parity = 0; parity < 2; ++parity) {
        const float *base = flow.half(y, parity, component), *add = increment_.half(y, parity, component);
        float* out = current_.half(y, parity, component);
        for (int i = 0; i < kLanes * flow.blocks(parity); i += kLanes) store(out + i, load(base + i) + load(add + i));
      }
      current_.repeat_sides(y, component);
    }
  }

  void take_current(SplitPlane& flow) { std::swap(flow, current_); }

  int height_ = 0, width_ = 0, half_weights_ = 0, half_equations_ = 0;
  WarpedPlanes planes_;
  SplitPlane current_, increment_, has_right_;
  Ring weights_, equations_;
};

}  // namespace
}  // namespace slt_fast
