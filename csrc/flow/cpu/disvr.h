// The flow of a clip's pairs for one instruction set, which the including source file names.
#pragma once

#include <memory>

#include "../core/settings.h"
#include "densify.h"
#include "levels.h"
#include "pyramid.h"
#include "refinement.h"
#include "search.h"

namespace slt_fast {
namespace {

// Computes pair after pair and keeps its memory between them.
class Disvr {
 public:
  void start(const Clip& clip, const Settings& settings, const Threads* threads) {
    clip_ = clip;
    settings_ = settings;
    levels_ = levels_of(clip.height, clip.width, settings.finest_level);
    threads_ = threads;
  }

  void load_first(int64_t frame) { build(frame, *first_); }

  // Writes the flow [2, height, width] from the last loaded frame to this frame, which becomes the last one.
  void advance(int64_t frame, float* out) {
    build(frame, *second_);
    const SplitPlane* coarser = nullptr;
    for (int level = levels_.coarsest; level >= levels_.finest; --level) {
      solve((*first_)[level], (*second_)[level], coarser, flows_[level]);
      coarser = &flows_[level];
    }
    write(*coarser, out);
    std::swap(first_, second_);
  }

 private:
  static constexpr int kRowsPerTask = 32;

  void build(int64_t frame, Pyramid& pyramid) {
    const int64_t pixels = static_cast<int64_t>(clip_.height) * clip_.width;
    pyramid.build(clip_.grey + frame * pixels, clip_.height, clip_.width, levels_.coarsest);
  }

  void solve(const Plane& first, const Plane& second, const SplitPlane* coarser, SplitPlane& flow) {
    const int height = first.height(), width = first.width();
    gradient_x_.resize(height, width);
    gradient_y_.resize(height, width);
    sums_.resize(height, width);
    flow.resize(height, width, 2);
    grid_.resize(height, width, settings_.patch_stride);
    for_rows(threads_, height, kRowsPerTask,
             [&](int begin, int end) { gradients(first, begin, end, gradient_x_, gradient_y_); });
    const SearchLevel level = {&first, &second, &gradient_x_, &gradient_y_, coarser};
    for_rows(threads_, grid_.rows(), kRowsPerTask / kPatchSize,
             [&](int begin, int end) { search(level, settings_.descent_iterations, begin, end, grid_); });
    for_rows(threads_, height, kRowsPerTask,
             [&](int begin, int end) { densify(first, second, grid_, begin, end, sums_, flow); });
    refinement_.run(first, second, settings_, threads_, flow);
  }

  // Enlarges the finest level's flow to the frames' size.
  void write(const SplitPlane& flow, float* out) {
    const int64_t pixels = static_cast<int64_t>(clip_.height) * clip_.width;
    const bool is_full = levels_.finest == 0;
    for_rows(threads_, clip_.height, kRowsPerTask, [&](int begin, int end) {
      for (int y = begin; y < end; ++y) {
        float *u = out + static_cast<int64_t>(y) * clip_.width, *v = u + pixels;
        if (is_full) {
          join_row(flow, y, 0, u);
          join_row(flow, y, 1, v);
        } else {
          enlarge_row(flow, y, u, v);
        }
      }
    });
  }

  static void join_row(const SplitPlane& flow, int y, int component, float* out) {
    for (int parity = 0; parity < 2; ++parity) {
      const float* half = flow.half(y, parity, component);
      for (int i = 0; i < flow.count(parity); ++i) out[2 * i + parity] = half[i];
    }
  }

  void enlarge_row(const SplitPlane& flow, int y, float* u, float* v) const {
    const float scale = static_cast<float>(1 << levels_.finest);
    const float at_y = position_on_coarser(static_cast<float>(y), scale, flow.height());
    for (int x = 0; x < clip_.width; ++x) {
      const float at_x = position_on_coarser(static_cast<float>(x), scale, flow.width());
      const Motion motion = motion_at(flow, at_y, at_x);
      u[x] = scale * motion.u;
      v[x] = scale * motion.v;
    }
  }

  Clip clip_ = {};
  Settings settings_ = {};
  Levels levels_ = {};
  const Threads* threads_ = nullptr;
  Pyramid pyramids_[2];
  Pyramid *first_ = &pyramids_[0], *second_ = &pyramids_[1];
  SplitPlane flows_[kMaxLevels];
  Plane gradient_x_, gradient_y_;
  PatchGrid grid_;
  MotionSums sums_;
  Refinement refinement_;
};

// Up to this size, a thread keeps its memory (about 150 bytes a pixel) for the next call: allocating it again takes as
// long as half a pair.
constexpr int64_t kKeptPixels = 1 << 18;

void flow_with(Disvr& disvr, const Clip& clip, int64_t begin, int64_t end, float* flow) {
  const int64_t size = 2 * static_cast<int64_t>(clip.height) * clip.width;
  disvr.load_first(begin);
  for (int64_t pair = begin; pair < end; ++pair) disvr.advance(pair + 1, flow + (pair - begin) * size);
}

}  // namespace

namespace SLT_FAST_INSTRUCTION_SET {

void flow_of_pairs(const Clip& clip, int64_t begin, int64_t end, const Settings& settings, float* flow,
                   const Threads* threads) {
  if (static_cast<int64_t>(clip.height) * clip.width <= kKeptPixels) {
    static thread_local std::unique_ptr<Disvr> kept;
    if (kept == nullptr) kept.reset(new Disvr);
    kept->start(clip, settings, threads);
    flow_with(*kept, clip, begin, end, flow);
  } else {
    Disvr disvr;
    disvr.start(clip, settings, threads);
    flow_with(disvr, clip, begin, end, flow);
  }
}

}  // namespace SLT_FAST_INSTRUCTION_SET
}  // namespace slt_fast
