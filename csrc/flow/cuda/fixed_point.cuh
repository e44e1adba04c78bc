// One fixed point of the variational refinement: the equations, linearised at the current increment, and the red-black
// sweeps on them. One block works on each region of the level, with the increments in shared memory and the equations
// in registers. Each pixel sees the same operations in the same order for any choice of regions.
#pragma once

#include "../core/refinement.h"
#include "region.cuh"

namespace slt_fast::cuda {
namespace {

struct FixedPointJob {
  // All [pairs, height, width]; see WarpJob.
  const float2* across;
  const float* down;
  const float2* flow;
  const float2* increment;  // not read in the first fixed point, where it is zero
  float2* result;           // the increment after this fixed point, or the flow plus it; must not alias the others
  Size size;
  int sweeps;
  bool adds_flow;
};

// One pair's part of the fields. One index serves all of them: a pointer to each would take registers, while their
// addresses stay among the kernel's parameters.
struct Pair {
  const FixedPointJob& job;
  int64_t first;  // pixel

  __device__ __forceinline__ Pair(const FixedPointJob& job, int64_t pair) : job(job), first(pair * job.size.pixels()) {}

  __device__ __forceinline__ int row(int y) const { return clamped_index(y, job.size.height) * job.size.width; }
  __device__ __forceinline__ int column(int x) const { return clamped_index(x, job.size.width); }
  template <bool kIsFirst>
  __device__ __forceinline__ float2 increment_at(int pixel) const {
    return kIsFirst ? float2{0, 0} : job.increment[first + pixel];
  }
};

// Values of a column above, at and below a pixel.
template <class Value>
struct Vertical {
  Value above = {}, here = {}, below = {};

  __device__ __forceinline__ void advance(Value next) {
    above = here;
    here = below;
    below = next;
  }
};

// Reads a column, row after row.
struct Reader {
  const Pair& pair;
  int centre;  // column
  Vertical<float2> across, flow;
  Vertical<float> down;

  __device__ __forceinline__ Reader(const Pair& pair, const Strip& strip) : pair(pair) {
    centre = pair.column(strip.x);
    advance(strip.y - 1);
    advance(strip.y);
  }

  // Reads the next row below.
  __device__ __forceinline__ void advance(int y) {
    const int64_t i = pair.first + (pair.row(y) + centre);
    across.advance(pair.job.across[i]);
    flow.advance(pair.job.flow[i]);
    down.advance(pair.job.down[i]);
  }

  __device__ __forceinline__ Relaxation<float> equation_at(int y, float2 increment, const Edges<float>& edges,
                                                           float num_own) {
    advance(y + 1);
    const int row = pair.row(y);
    const int64_t to_left = pair.first + (row + pair.column(centre - 1)),
                  to_right = pair.first + (row + pair.column(centre + 1));
    const float2 across_left = pair.job.across[to_left], across_right = pair.job.across[to_right];
    const Derivatives<float> d = {across.here.x,
                                  down.here,
                                  across.here.y,
                                  central(across_left.x, across_right.x),
                                  central(across.above.x, across.below.x),
                                  central(down.above, down.below),
                                  central(across_left.y, across_right.y),
                                  central(across.above.y, across.below.y)};
    const Equation<float> data = data_equation(d, residuals_after(d, increment.x, increment.y));
    const float2 flow_left = pair.job.flow[to_left], flow_right = pair.job.flow[to_right];
    const Neighbours<float> us = {flow_left.x, flow_right.x, flow.above.x, flow.below.x};
    const Neighbours<float> vs = {flow_left.y, flow_right.y, flow.above.y, flow.below.y};
    return relaxation_of(data, edges, num_own, flow.here.x, us, flow.here.y, vs);
  }
};

// Computes the weights of the edges to the right and down from the current flow of a strip and of its neighbours. In
// shared memory the weights replace u, and the place of v becomes free.
template <bool kIsFirst>
__device__ __forceinline__ void set_weights(const Pair& pair, const Strip& strip, Cells& cells) {
  const Size size = pair.job.size;
  const int column = pair.column(strip.x);
  float2 current[kStrip];
#pragma unroll
  for (int i = 0; i < kStrip; ++i) {
    const int pixel = pair.row(strip.y + i) + column;
    const float2 flow = pair.job.flow[pair.first + pixel], increment = pair.increment_at<kIsFirst>(pixel);
    current[i] = {flow.x + increment.x, flow.y + increment.y};
    if (strip.is_inside(size, i)) strip.cell(cells, i) = current[i];
  }
  __syncthreads();
  const bool has_right = strip.x + 1 < size.width;
  float weights[kStrip];
#pragma unroll
  for (int i = 0; i < kStrip; ++i) {
    const float2 at = current[i];
    const float2 right = has_right ? strip.cell(cells, i, 1) : at;
    float2 below = i + 1 < kStrip ? current[(i + 1) % kStrip] : strip.cell(cells, kStrip);
    if (strip.y + i + 1 >= size.height) below = at;
    weights[i] = smoothness(right.x - at.x, below.x - at.x, right.y - at.y, below.y - at.y);
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kStrip; ++i) {
    if (strip.is_inside(size, i)) strip.cell(cells, i).x = weights[i];
  }
  __syncthreads();
}

// What a thread keeps of its pixels while it relaxes them, by colour and pair of rows. All loops over these arrays are
// unrolled, so they live in registers.
struct Pixels {
  Relaxation<float> equation[2][kStripPairs];
  float2 increment[2][kStripPairs];
  float own[2][kStripPairs], left[2][kStripPairs], above;  // weights
};

__device__ __forceinline__ Relaxation<float> chosen(bool first, const Relaxation<float>& a,
                                                    const Relaxation<float>& b) {
  return {first ? a.step_u : b.step_u, first ? a.a12 : b.a12, first ? a.step_v : b.step_v, first ? a.b1 : b.b1,
          first ? a.b2 : b.b2};
}

__device__ __forceinline__ float2 chosen(bool first, float2 a, float2 b) {
  return {first ? a.x : b.x, first ? a.y : b.y};
}

// Pixels outside the image get an equation that keeps their increment at zero.
template <bool kIsFirst>
__device__ __forceinline__ void set_equations(const Pair& pair, const Strip& strip, Cells& cells, Pixels& pixels) {
  Reader reader(pair, strip);
  const Size size = pair.job.size;
  const bool is_even = strip.parity == 0;
#pragma unroll
  for (int k = 0; k < kStripPairs; ++k) {
    Relaxation<float> equation[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      reader.centre = renewed(reader.centre);  // too few registers to keep the addresses of several rows
      const int row = 2 * k + i, y = strip.y + row;
      equation[i] = {0, 0, 0, 0, 0};
      // A branch, uniform in a warp: without it, loads for later rows would take the registers of this one.
      if (y >= size.height) continue;
      const Edges<float> edges = {strip.cell(cells, row).x, strip.cell(cells, row, -1).x, strip.cell(cells, row - 1).x};
      const float num_own = (strip.x + 1 < size.width ? 1.0f : 0.0f) + (y + 1 < size.height ? 1.0f : 0.0f);
      const float2 increment = pair.increment_at<kIsFirst>(pair.row(y) + reader.centre);
      equation[i] = reader.equation_at(y, increment, edges, num_own);
      if (strip.x >= size.width) equation[i].step_u = equation[i].step_v = 0;
      // Parked where no other thread reads: no register is free while equations are set.
      strip.cell(cells, row).y = equation[i].b2;
    }
    pixels.equation[0][k] = chosen(is_even, equation[0], equation[1]);
    pixels.equation[1][k] = chosen(is_even, equation[1], equation[0]);
  }
}

__device__ __forceinline__ void take_cells(const Strip& strip, Cells& cells, Pixels& pixels) {
#pragma unroll
  for (int k = 0; k < kStripPairs; ++k) {
#pragma unroll
    for (int colour = 0; colour < 2; ++colour) {
      const float2 own = cells.at(colour, strip.row_pair + k, strip.column);
      pixels.own[colour][k] = own.x;
      pixels.equation[colour][k].b2 = own.y;
      pixels.left[colour][k] = cells.at(1 - colour, strip.row_pair + k, strip.column - 1).x;
    }
  }
  pixels.above = strip.cell(cells, -1).x;
}

// Runs after the equations are set, because registers are short until then.
template <bool kIsFirst>
__device__ __forceinline__ void take_increments(const Pair& pair, const Strip& strip, Cells& cells, Pixels& pixels) {
#pragma unroll
  for (int i = 0; i < kStrip; ++i) {
    const float2 increment = pair.increment_at<kIsFirst>(pair.row(strip.y + i) + pair.column(strip.x));
    strip.cell(cells, i) = strip.is_inside(pair.job.size, i) ? increment : float2{0, 0};
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < kStripPairs; ++k) {
    pixels.increment[0][k] = cells.at(0, strip.row_pair + k, strip.column);
    pixels.increment[1][k] = cells.at(1, strip.row_pair + k, strip.column);
  }
}

// Relaxes the pixels of a colour. Neighbours in the thread's own column are in registers, except the one above or below
// the strip.
template <int kColour>
__device__ __forceinline__ void half_sweep(const Strip& strip, Cells& cells, Pixels& pixels) {
  constexpr int kOther = 1 - kColour;
  const bool is_upper = strip.parity == kColour;  // of each pair of rows
  const float2 beyond = cells.at(kOther, strip.row_pair + (is_upper ? -1 : kStripPairs), strip.column);
#pragma unroll
  for (int k = 0; k < kStripPairs; ++k) {
    const int row_pair = strip.row_pair + k, before_k = (k + kStripPairs - 1) % kStripPairs;
    const float2 left = cells.at(kOther, row_pair, strip.column - 1);
    const float2 right = cells.at(kOther, row_pair, strip.column + 1);
    const float2 same = pixels.increment[kOther][k];
    const float2 before = k > 0 ? pixels.increment[kOther][before_k] : beyond;
    const float2 after = k + 1 < kStripPairs ? pixels.increment[kOther][(k + 1) % kStripPairs] : beyond;
    const float2 up = chosen(is_upper, before, same), down = chosen(is_upper, same, after);
    const float weight_before = k > 0 ? pixels.own[kOther][before_k] : pixels.above;
    const Edges<float> edges = {pixels.own[kColour][k], pixels.left[kColour][k],
                                is_upper ? weight_before : pixels.own[kOther][k]};
    float2& at = pixels.increment[kColour][k];
    relax(pixels.equation[kColour][k], edges, {left.x, right.x, up.x, down.x}, {left.y, right.y, up.y, down.y}, at.x,
          at.y);
    cells.at(kColour, row_pair, strip.column) = at;
  }
}

__device__ __forceinline__ void write(const FixedPointJob& job, int64_t pair, const Strip& strip,
                                      const Pixels& pixels) {
  const Size size = job.size;
  const Tiling across = across_of(size, job.sweeps), down = down_of(size, job.sweeps);
  if (!across.writes(blockIdx.x, blockIdx.x == gridDim.x - 1, strip.x)) return;
#pragma unroll
  for (int i = 0; i < kStrip; ++i) {
    if (!down.writes(blockIdx.y, blockIdx.y == gridDim.y - 1, strip.y + i)) continue;
    const bool is_red = strip.colour_of(i) == 0;
    float2 value = chosen(is_red, pixels.increment[0][i / 2], pixels.increment[1][i / 2]);
    const int64_t pixel = pair * size.pixels() + (strip.y + i) * size.width + strip.x;
    if (job.adds_flow) value = {job.flow[pixel].x + value.x, job.flow[pixel].y + value.y};
    job.result[pixel] = value;
  }
}

__device__ __forceinline__ Strip strip_of(const FixedPointJob& job, int thread) {
  return strip_at(thread, down_of(job.size, job.sweeps).origin(blockIdx.y),
                  across_of(job.size, job.sweeps).origin(blockIdx.x));
}

template <bool kIsFirst>
__global__ void __launch_bounds__(kRegionThreads, 1) fixed_point_kernel(FixedPointJob job) {
  __shared__ Cells cells;
  const Pair pair(job, blockIdx.z);
  const Strip strip = strip_of(job, threadIdx.x);
  // All values around the image and the region stay zero.
  cells.clear(threadIdx.x);
  __syncthreads();
  // Barriers wait only for the warps that have not returned.
  if (!strip.is_busy(job.size)) return;
  set_weights<kIsFirst>(pair, strip, cells);
  Pixels pixels;
  set_equations<kIsFirst>(pair, renewed(strip), cells, pixels);
  take_cells(strip, cells, pixels);
  __syncthreads();
  take_increments<kIsFirst>(pair, renewed(strip), cells, pixels);
  for (int sweep = 0; sweep < job.sweeps; ++sweep) {
    half_sweep<0>(strip, cells, pixels);
    __syncthreads();
    half_sweep<1>(strip, cells, pixels);
    __syncthreads();
  }
  write(job, blockIdx.z, strip_of(job, renewed(threadIdx.x)), pixels);
}

}  // namespace
}  // namespace slt_fast::cuda
