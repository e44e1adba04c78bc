"""Backward kernel of pixel attention: the gradient of the bias.

The formulas are in backward_whole_map_kernel.py; row_statistics and delta come from the kernels
that compute dQ.
"""

from __future__ import annotations

import triton
import triton.language as tl

from slt_fast.ops.pixel_attention.tiles import (
    channel_product,
    exponential,
    load_row_statistics,
    load_tile,
    matrix_of,
    score_tile,
    store_tile,
)


@triton.jit
def dbias_kernel(
    q, k, v, bias, gradient, partial, row_statistics, delta,
    B, heads, Nq, Nk, bias_batches, maps_per_program, scale,
    DK: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_DK: tl.constexpr, BLOCK_V: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sums dS over a group of the maps that share a bias, without gamma.

    partial is contiguous [groups, bias_batches, heads, Nq, Nk] float32. Maps b = r * bias_batches +
    w share entry w of the bias. The groups depend on the shapes only, so the sum is bitwise
    deterministic.
    """
    program = tl.program_id(0)
    key_blocks = tl.cdiv(Nk, BLOCK_K)
    query_blocks = tl.cdiv(Nq, BLOCK_Q)
    keys = program % key_blocks * BLOCK_K + tl.arange(0, BLOCK_K)
    rows = (program // key_blocks) % query_blocks * BLOCK_Q + tl.arange(0, BLOCK_Q)
    place = program // key_blocks // query_blocks
    head = place % heads
    shared = (place // heads) % bias_batches
    group = place // heads // bias_batches
    channels = tl.arange(0, BLOCK_DK)
    bias_matrix = matrix_of(bias, shared, head)

    total = tl.zeros([BLOCK_Q, BLOCK_K], tl.float32)
    first = group * maps_per_program
    last = tl.minimum(first + maps_per_program, B // bias_batches)
    for r in tl.range(first, last):
        b = r * bias_batches + shared
        map_index = b * heads + head
        row_max, row_factor = load_row_statistics(row_statistics, map_index, rows, Nq)
        row = map_index.to(tl.int64) * Nq + rows
        row_delta = tl.load(delta + row, mask=rows < Nq, other=0.0)
        q_tile = load_tile(matrix_of(q, b, head), rows, channels, Nq, DK)
        k_tile = load_tile(matrix_of(k, b, head), keys, channels, Nk, DK)
        scores = score_tile(q_tile, k_tile, bias_matrix, rows, keys, Nq, Nk, scale, PRECISION)
        weights = exponential(scores - row_max[:, None]) * row_factor[:, None]
        d_weights = channel_product(
            matrix_of(gradient, b, head),
            matrix_of(v, b, head),
            rows,
            keys,
            Nq,
            Nk,
            DV,
            BLOCK_V,
            q_tile.dtype,
            PRECISION,
        )
        total += weights * (d_weights - row_delta[:, None])
    base = partial + place.to(tl.int64) * Nq * Nk
    store_tile((base, Nk, 1), total, rows, keys, Nq, Nk)
