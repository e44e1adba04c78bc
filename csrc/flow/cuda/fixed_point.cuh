// One fixed point of the variational refinement: the equations, linearised at the increment so far, and the red-black
// sweeps on them. All of it happens in one block for each region of the level, with the increments in shared memory and
// the equations in registers; each pixel sees the same operations in the same order whatever the regions.
#pragma once

#include "../core/refinement.h"
#include "region.cuh"

namespace slt_fast::cuda {
namespace {

struct FixedPointJob {
  const float* derivatives;  // [pairs, 3, height, width]; see WarpJob
  const float* flow;         // [pairs, 2, height, width]
  const float* increment;    // the same shape; null for zero
  float* result;             // the same shape: the new increment, or the flow with it; another memory than the others
  Size size;
  int sweeps;
  bool adds_flow;
};

// The planes of one pair.
struct Pair {
  Plane x, y, t, u, v;
};

__device__ __forceinline__ Pair pair_of(const FixedPointJob& job, int64_t pair) {
  const int64_t pixels = job.size.pixels();
  const float *derivatives = job.derivatives + 3 * pair * pixels, *flow = job.flow + 2 * pair * pixels;
  return {{derivatives, job.size},
          {derivatives + pixels, job.size},
          {derivatives + 2 * pixels, job.size},
          {flow, job.size},
          {flow + pixels, job.size}};
}

__device__ __forceinline__ float2 increment_at(const FixedPointJob& job, int64_t pair, int pixel) {
  if (job.increment == nullptr) return {0, 0};
  const float* increment = job.increment + 2 * pair * job.size.pixels() + pixel;
  return {increment[0], increment[job.size.pixels()]};
}

// Weights of the edges of a strip's pixels, 0 where there is none: to the right and down, to the left, and above the
// first pixel.
struct StripEdges {
  float own[kStrip], left[kStrip], above;
};

// The flow so far of a strip and of its neighbours, by way of shared memory, makes its weights.
__device__ __forceinline__ void own_weights(const FixedPointJob& job, int64_t pair, const Strip& strip, Cells& cells,
                                            StripEdges& edges) {
  const Size size = job.size;
  const float* flow = job.flow + 2 * pair * size.pixels();
  float2 current[kStrip];
#pragma unroll
  for (int i = 0; i < kStrip; ++i) {
    current[i] = {0, 0};
    if (strip.y + i >= size.height || strip.x >= size.width) continue;
    const int pixel = (strip.y + i) * size.width + strip.x;
    const float2 increment = increment_at(job, pair, pixel);
    current[i] = {flow[pixel] + increment.x, flow[size.pixels() + pixel] + increment.y};
    strip.cell(cells, i) = current[i];
  }
  __syncthreads();
  const bool has_right = strip.x + 1 < size.width;
#pragma unroll
  for (int i = 0; i < kStrip; ++i) {
    const float2 at = current[i];
    const float2 right = has_right ? strip.cell(cells, i, 1) : at;
    float2 below = i + 1 < kStrip ? current[(i + 1) % kStrip] : strip.cell(cells, kStrip);
    if (strip.y + i + 1 >= size.height) below = at;
    edges.own[i] = smoothness(right.x - at.x, below.x - at.x, right.y - at.y, below.y - at.y);
  }
  __syncthreads();
}

// The weights take the place of the flow in shared memory, for the neighbours.
__device__ __forceinline__ void neighbours_weights(const Size& size, const Strip& strip, Cells& cells,
                                                   StripEdges& edges) {
#pragma unroll
  for (int i = 0; i < kStrip; ++i) {
    if (strip.y + i < size.height && strip.x < size.width) strip.cell(cells, i).x = edges.own[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kStrip; ++i) edges.left[i] = strip.cell(cells, i, -1).x;
  edges.above = strip.cell(cells, -1).x;
  __syncthreads();
}

// A pixel and those above and below it.
struct Vertical {
  float above, here, below;

  __device__ __forceinline__ void start(const Plane& plane, int y, int column) {
    here = plane.values[plane.row(y - 1) + column];
    below = plane.values[plane.row(y) + column];
  }
  __device__ __forceinline__ void advance(const Plane& plane, int next_y, int column) {
    above = here;
    here = below;
    below = plane.values[plane.row(next_y) + column];
  }
};

// What the equations read of a column, row after row.
struct Reader {
  Pair pair;
  int left, centre, right;  // columns
  Vertical x, y, t, u, v;

  __device__ __forceinline__ Reader(const Pair& planes, const Strip& strip)
      : pair(planes),
        left(pair.x.column(pair.x.column(strip.x) - 1)),
        centre(pair.x.column(strip.x)),
        right(pair.x.column(strip.x + 1)) {
    x.start(pair.x, strip.y, centre);
    y.start(pair.y, strip.y, centre);
    t.start(pair.t, strip.y, centre);
    u.start(pair.u, strip.y, centre);
    v.start(pair.v, strip.y, centre);
  }

  __device__ __forceinline__ Relaxation<float> equation_at(int row, float2 increment, const Edges<float>& edges,
                                                           float num_own) {
    x.advance(pair.x, row + 1, centre);
    y.advance(pair.y, row + 1, centre);
    t.advance(pair.t, row + 1, centre);
    u.advance(pair.u, row + 1, centre);
    v.advance(pair.v, row + 1, centre);
    const int line = pair.x.row(row);
    const auto at = [&](const Plane& plane, int column) { return plane.values[line + column]; };
    const Derivatives<float> d = {x.here,
                                  y.here,
                                  t.here,
                                  central(at(pair.x, left), at(pair.x, right)),
                                  central(x.above, x.below),
                                  central(y.above, y.below),
                                  central(at(pair.t, left), at(pair.t, right)),
                                  central(t.above, t.below)};
    const Neighbours<float> us = {at(pair.u, left), at(pair.u, right), u.above, u.below};
    const Neighbours<float> vs = {at(pair.v, left), at(pair.v, right), v.above, v.below};
    const Equation<float> data = data_equation(d, residuals_after(d, increment.x, increment.y));
    return relaxation_of(data, edges, num_own, u.here, us, v.here, vs);
  }
};

// What a thread keeps of its pixels while it relaxes them: of each colour, those of its pairs of rows. Registers, for
// all loops over them are unrolled.
struct Pixels {
  Relaxation<float> equation[2][kStripPairs];
  float2 increment[2][kStripPairs];
  float own[2][kStripPairs], left[2][kStripPairs], above;
};

__device__ __forceinline__ Relaxation<float> chosen(bool first, const Relaxation<float>& a,
                                                    const Relaxation<float>& b) {
  return {first ? a.step_u : b.step_u, first ? a.a12 : b.a12, first ? a.step_v : b.step_v, first ? a.b1 : b.b1,
          first ? a.b2 : b.b2};
}

__device__ __forceinline__ float2 chosen(bool first, float2 a, float2 b) {
  return {first ? a.x : b.x, first ? a.y : b.y};
}

// Pixels outside the image get an equation that leaves their increment at zero.
__device__ __forceinline__ void set_pixels(const FixedPointJob& job, int64_t pair, const Strip& strip,
                                           const StripEdges& edges, Pixels& pixels) {
  Reader reader(pair_of(job, pair), strip);
  const Size size = job.size;
  const bool is_even = strip.parity == 0;
#pragma unroll
  for (int k = 0; k < kStripPairs; ++k) {
    Relaxation<float> equation[2];
    float2 increment[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = 2 * k + i, y = strip.y + row;
      const bool is_inside = y < size.height && strip.x < size.width;
      increment[i] = is_inside ? increment_at(job, pair, y * size.width + strip.x) : float2{0, 0};
      const Edges<float> at = {edges.own[row], edges.left[row],
                               row > 0 ? edges.own[(row + kStrip - 1) % kStrip] : edges.above};
      const float num_own = (strip.x + 1 < size.width ? 1.0f : 0.0f) + (y + 1 < size.height ? 1.0f : 0.0f);
      equation[i] = reader.equation_at(y, increment[i], at, num_own);
      if (!is_inside) equation[i] = {0, 0, 0, 0, 0};
    }
    pixels.equation[0][k] = chosen(is_even, equation[0], equation[1]);
    pixels.equation[1][k] = chosen(is_even, equation[1], equation[0]);
    pixels.increment[0][k] = chosen(is_even, increment[0], increment[1]);
    pixels.increment[1][k] = chosen(is_even, increment[1], increment[0]);
    pixels.own[0][k] = is_even ? edges.own[2 * k] : edges.own[2 * k + 1];
    pixels.own[1][k] = is_even ? edges.own[2 * k + 1] : edges.own[2 * k];
    pixels.left[0][k] = is_even ? edges.left[2 * k] : edges.left[2 * k + 1];
    pixels.left[1][k] = is_even ? edges.left[2 * k + 1] : edges.left[2 * k];
  }
  pixels.above = edges.above;
}

template <int kColour>
__device__ __forceinline__ void show(const Strip& strip, const Pixels& pixels, Cells& cells) {
#pragma unroll
  for (int k = 0; k < kStripPairs; ++k) {
    cells.at(kColour, strip.row_pair + k, strip.column) = pixels.increment[kColour][k];
  }
}

// Relaxes the pixels of a colour. Those of the other one in the own column are in registers, but for the one above or
// below the strip.
template <int kColour>
__device__ __forceinline__ void half_sweep(const Strip& strip, Pixels& pixels, Cells& cells) {
  constexpr int kOther = 1 - kColour;
  const bool is_upper = strip.parity == kColour;  // of each pair of rows
  const float2 beyond = cells.at(kOther, strip.row_pair + (is_upper ? -1 : kStripPairs), strip.column);
#pragma unroll
  for (int k = 0; k < kStripPairs; ++k) {
    const float2 left = cells.at(kOther, strip.row_pair + k, strip.column - 1);
    const float2 right = cells.at(kOther, strip.row_pair + k, strip.column + 1);
    const float2 same = pixels.increment[kOther][k];
    const float2 before = k > 0 ? pixels.increment[kOther][(k + kStripPairs - 1) % kStripPairs] : beyond;
    const float2 after = k + 1 < kStripPairs ? pixels.increment[kOther][(k + 1) % kStripPairs] : beyond;
    const float2 up = chosen(is_upper, before, same), down = chosen(is_upper, same, after);
    const float weight_before = k > 0 ? pixels.own[kOther][(k + kStripPairs - 1) % kStripPairs] : pixels.above;
    const Edges<float> edges = {pixels.own[kColour][k], pixels.left[kColour][k],
                                is_upper ? weight_before : pixels.own[kOther][k]};
    float2& at = pixels.increment[kColour][k];
    relax(pixels.equation[kColour][k], edges, {left.x, right.x, up.x, down.x}, {left.y, right.y, up.y, down.y}, at.x,
          at.y);
  }
  show<kColour>(strip, pixels, cells);
}

__device__ __forceinline__ void write(const FixedPointJob& job, int64_t pair, const Strip& strip,
                                      const Pixels& pixels) {
  const Size size = job.size;
  const Tiling across = tiling_of(size.width, job.sweeps), down = tiling_of(size.height, job.sweeps);
  if (!across.writes(blockIdx.x, strip.x)) return;
  const int64_t plane = 2 * pair * size.pixels();
#pragma unroll
  for (int i = 0; i < kStrip; ++i) {
    if (!down.writes(blockIdx.y, strip.y + i)) continue;
    const bool is_red = strip.colour_of(i) == 0;
    float2 value = chosen(is_red, pixels.increment[0][i / 2], pixels.increment[1][i / 2]);
    const int64_t u = plane + (strip.y + i) * size.width + strip.x, v = u + size.pixels();
    if (job.adds_flow) value = {job.flow[u] + value.x, job.flow[v] + value.y};
    job.result[u] = value.x;
    job.result[v] = value.y;
  }
}

__global__ void __launch_bounds__(kRegionThreads, 1) fixed_point_kernel(FixedPointJob job) {
  __shared__ Cells cells;
  const int64_t pair = blockIdx.z;
  const Strip strip = strip_at(threadIdx.x, tiling_of(job.size.height, job.sweeps).origin(blockIdx.y),
                               tiling_of(job.size.width, job.sweeps).origin(blockIdx.x));
  // Around the image and the region all values stay zero.
  float2* cell = &cells.values[0][0][0];
  for (int i = threadIdx.x; i < static_cast<int>(sizeof(Cells) / sizeof(float2)); i += kRegionThreads) cell[i] = {0, 0};
  __syncthreads();
  StripEdges edges;
  own_weights(job, pair, strip, cells, edges);
  neighbours_weights(job.size, strip, cells, edges);
  Pixels pixels;
  set_pixels(job, pair, strip, edges, pixels);
  show<0>(strip, pixels, cells);
  show<1>(strip, pixels, cells);
  __syncthreads();
  for (int sweep = 0; sweep < job.sweeps; ++sweep) {
    half_sweep<0>(strip, pixels, cells);
    __syncthreads();
    half_sweep<1>(strip, pixels, cells);
    __syncthreads();
  }
  write(job, pair, strip, pixels);
}

}  // namespace
}  // namespace slt_fast::cuda
