// Random clips through the CPU's flow, to be built with sanitizers. Each clip is computed with fresh memory, with
// memory kept from other clips, and with threads that share its rows: the flow must be finite and the same to the bit.
//
// usage: flow_sanitized CLIPS SEED LARGEST_HEIGHT LARGEST_WIDTH MOST_FRAMES MOST_PIXELS
// (of all frames of a clip; two frames are always computed). Prints what was run.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "../../csrc/flow/cpu/levels.h"

namespace {

using slt_fast::Clip;
using slt_fast::InstructionSet;
using slt_fast::Settings;
using slt_fast::Threads;

std::mt19937 generator;

int any_of(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }

// Small sizes are as frequent as large ones: each octave has the same share.
int any_side(int largest) {
  const double octaves = std::log2(largest / 8.0);
  return static_cast<int>(8 * std::exp2(octaves * any_of(0, 1000) / 1000));
}

const char* const kPresets[] = {"fast", "default", "best", "random"};

Settings settings_of(int preset) {
  switch (preset) {
    case 0:
      return {1, 4, 8, 2, 2, 5};
    case 1:
      return {0, 4, 8, 3, 2, 5};
    case 2:
      return {0, 3, 8, 5, 2, 5};
    default:
      return {any_of(0, 17), any_of(1, 8), any_of(0, 12), any_of(0, 4), any_of(1, 3), any_of(1, 7)};
  }
}

const char* const kPatterns[] = {"black", "flat", "noisy", "saturated", "gradient", "waves", "mixed"};
constexpr int kMixed = 6;  // each frame has another pattern: motions lead far out of the image

uint8_t pixel_of(int pattern, int value, int t, int y, int x) {
  switch (pattern) {
    case 0:
      return 0;
    case 1:
      return static_cast<uint8_t>(value);
    case 2:
      return static_cast<uint8_t>(generator());
    case 3:  // a checkerboard of 1 to 8 pixels that moves
      return ((x + t) / (1 + value % 8) + y / (1 + value / 8 % 8)) % 2 == 0 ? 0 : 255;
    case 4:
      return static_cast<uint8_t>(std::min(255, (x * (value % 7) + y * (value % 5) + 3 * t) / 4));
    default:
      return static_cast<uint8_t>(127.5 + 127 * std::sin(0.3 * (x + 1.5 * t)) * std::cos(0.01 * value * (y - t)));
  }
}

struct Work {
  int frames, height, width, preset, pattern;
  Settings settings;
  std::vector<uint8_t> grey;
};

Work any_work(int largest_height, int largest_width, int most_frames, int64_t most_pixels) {
  Work work = {};
  const bool is_largest = any_of(0, 11) == 0;
  work.height = is_largest ? largest_height : any_side(largest_height);
  work.width = is_largest ? largest_width : any_side(largest_width);
  const int64_t pixels = static_cast<int64_t>(work.height) * work.width;
  work.frames = any_of(2, static_cast<int>(std::clamp<int64_t>(most_pixels / pixels, 2, most_frames)));
  work.preset = any_of(0, 3);
  work.pattern = any_of(0, kMixed);
  work.settings = settings_of(work.preset);
  int pattern = work.pattern, value = any_of(0, 255);
  for (int t = 0; t < work.frames; ++t) {
    if (work.pattern == kMixed) {
      pattern = any_of(0, kMixed - 1);
      value = any_of(0, 255);
    }
    for (int y = 0; y < work.height; ++y) {
      for (int x = 0; x < work.width; ++x) work.grey.push_back(pixel_of(pattern, value, t, y, x));
    }
  }
  work.grey.shrink_to_fit();  // a read beyond the last frame is then one beyond the memory
  return work;
}

int num_threads = 1;

void run_on_threads(int64_t count, int64_t grain, Threads::Body body, const void* context) {
  const int64_t parts = std::clamp<int64_t>(count / grain, 1, num_threads);
  std::vector<std::thread> threads;
  for (int64_t part = 0; part < parts; ++part) {
    threads.emplace_back(body, context, part * count / parts, (part + 1) * count / parts);
  }
  for (std::thread& thread : threads) thread.join();
}

std::vector<float> flow_of(const Work& work, int pairs, const InstructionSet& set, const Threads* threads) {
  std::vector<float> flow(static_cast<size_t>(pairs) * 2 * work.height * work.width, NAN);
  const Clip clip = {work.grey.data(), work.height, work.width};
  set.flow_of_pairs(clip, 0, pairs, work.settings, flow.data(), threads);
  return flow;
}

bool all_finite(const std::vector<float>& flow) {
  return std::all_of(flow.begin(), flow.end(), [](float value) { return std::isfinite(value); });
}

void check(const Work& work, const InstructionSet& set) {
  const int pairs = work.frames - 1;
  std::vector<float> fresh;
  std::thread([&] { fresh = flow_of(work, pairs, set, nullptr); }).join();
  const std::vector<float> kept = flow_of(work, pairs, set, nullptr);
  const Threads threads = {run_on_threads};
  num_threads = any_of(2, 5);
  // Two pairs at most: each part of each step starts a thread, which takes longer than the step.
  const std::vector<float> shared = flow_of(work, std::min(pairs, 2), set, &threads);
  const bool is_finite = all_finite(fresh);
  const bool is_same = std::memcmp(fresh.data(), kept.data(), sizeof(float) * kept.size()) == 0;
  const bool is_shared = std::memcmp(fresh.data(), shared.data(), sizeof(float) * shared.size()) == 0;
  if (is_finite && is_same && is_shared) return;
  const Settings& s = work.settings;
  std::printf("%s, %d frames of %dx%d, %s, settings %d %d %d %d %d %d: finite %d, kept alike %d, threads alike %d\n",
              set.name, work.frames, work.height, work.width, kPatterns[work.pattern], s.finest_level, s.patch_stride,
              s.descent_iterations, s.warps, s.fixed_points, s.sweeps, is_finite, is_same, is_shared);
  std::exit(1);
}

// Counts what was run.
struct Tally {
  int clips = 0, presets[4] = {}, patterns[kMixed + 1] = {};
  int most_frames = 0, largest_height = 0, largest_width = 0, least_side = 1 << 30;
  int64_t pairs = 0, pixels = 0;

  void add(const Work& work) {
    ++clips;
    ++presets[work.preset];
    ++patterns[work.pattern];
    most_frames = std::max(most_frames, work.frames);
    largest_height = std::max(largest_height, work.height);
    largest_width = std::max(largest_width, work.width);
    least_side = std::min({least_side, work.height, work.width});
    pairs += work.frames - 1;
    pixels = std::max(pixels, static_cast<int64_t>(work.height) * work.width);
  }

  void print() const {
    std::printf("%d clips of %lld pairs, sides %d to %d (height) and %d (width), up to %lld pixels and %d frames;",
                clips, static_cast<long long>(pairs), least_side, largest_height, largest_width,
                static_cast<long long>(pixels), most_frames);
    for (int i = 0; i < 4; ++i) std::printf(" %s %d", kPresets[i], presets[i]);
    std::printf(";");
    for (int i = 0; i <= kMixed; ++i) std::printf(" %s %d", kPatterns[i], patterns[i]);
  }
};

}  // namespace

int main(int, char** arguments) {
  generator.seed(static_cast<unsigned>(std::atoi(arguments[2])));
  std::vector<InstructionSet> sets = {{"baseline", slt_fast::baseline::flow_of_pairs}};
  const InstructionSet best = slt_fast::best_instruction_set();
  if (std::strcmp(best.name, "baseline") != 0) sets.push_back(best);
  Tally tally;
  while (tally.clips < std::atoi(arguments[1])) {
    const Work work =
        any_work(std::atoi(arguments[3]), std::atoi(arguments[4]), std::atoi(arguments[5]), std::atoll(arguments[6]));
    for (const InstructionSet& set : sets) check(work, set);
    tally.add(work);
  }
  tally.print();
  std::printf("; instruction sets:");
  for (const InstructionSet& set : sets) std::printf(" %s", set.name);
  std::printf("\n");
  return 0;
}
