"""Backward kernels of pixel attention that work key by key (dK, dV), and the bias's gradient.

For maps of which a whole row of scores fits into no program, or not its columns as well. The
formulas stand in backward_kernels.py; row_statistics and delta come from there.
"""

from __future__ import annotations

import triton
import triton.language as tl

from slt_fast.ops.pixel_attention.tiles import (
    channel_product,
    exponential,
    load_or_one,
    load_row_statistics,
    load_tile,
    map_of,
    score_tile,
    store_tile,
)


@triton.jit
def dk_kernel(
    q,
    k,
    v,
    bias,
    gradient,
    gamma,
    dk,
    row_statistics,
    delta,
    heads,
    Nq,
    Nk,
    bias_batches,
    scale,
    DK: tl.constexpr,
    DV: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_DK: tl.constexpr,
    BLOCK_V: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """dK of a block of keys, queries block by block."""
    program = tl.program_id(0)
    key_blocks = tl.cdiv(Nk, BLOCK_K)
    keys = program % key_blocks * BLOCK_K + tl.arange(0, BLOCK_K)
    frame = program // key_blocks
    b, head = frame // heads, frame % heads
    channels = tl.arange(0, BLOCK_DK)
    bias_map = None
    bias_row = 0
    bias_column = 0
    if bias is not None:
        bias_map = map_of(bias, b % bias_batches, head)
        bias_row = bias[3]
        bias_column = bias[4]

    q_map, v_map, gradient_map = map_of(q, b, head), map_of(v, b, head), map_of(gradient, b, head)
    k_tile = load_tile(map_of(k, b, head), keys, k[3], channels, k[4], Nk, DK)
    dk_tile = tl.zeros([BLOCK_K, BLOCK_DK], tl.float32)
    for start in tl.range(0, Nq, BLOCK_Q):
        rows = start + tl.arange(0, BLOCK_Q)
        row_max, row_factor = load_row_statistics(row_statistics, frame, rows, Nq)
        row = frame.to(tl.int64) * Nq + rows
        row_delta = tl.load(delta + row, mask=rows < Nq, other=0.0)
        q_tile = load_tile(q_map, rows, q[3], channels, q[4], Nq, DK)
        scores = score_tile(
            k_tile,
            q_tile,
            bias_map,
            bias_column,
            bias_row,
            keys,
            rows,
            Nk,
            Nq,
            scale,
            PRECISION,
        )
        weights = exponential(scores - row_max[None, :]) * row_factor[None, :]
        d_weights = channel_product(
            v_map,
            v[3],
            v[4],
            gradient_map,
            gradient[3],
            gradient[4],
            keys,
            rows,
            Nk,
            Nq,
            DV,
            BLOCK_V,
            k_tile.dtype,
            PRECISION,
        )
        d_scores = (weights * (d_weights - row_delta[None, :])).to(q_tile.dtype)
        dk_tile = tl.dot(d_scores, q_tile, dk_tile, input_precision=PRECISION)
    dk_tile *= scale * load_or_one(gamma)
    store_tile(map_of(dk, b, head), dk_tile, keys, dk[3], channels, dk[4], Nk, DK)


@triton.jit
def dv_kernel(
    q,
    k,
    bias,
    gradient,
    gamma,
    dv,
    row_statistics,
    heads,
    Nq,
    Nk,
    bias_batches,
    scale,
    DK: tl.constexpr,
    DV: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_DK: tl.constexpr,
    BLOCK_V: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One value block of dV of a block of keys, queries block by block.

    Apart from dk_kernel: a sum as wide as all of dv beside dK does not fit into the registers, and
    the scores, computed again here, are cheap where keys are narrow.
    """
    program = tl.program_id(0)
    value_blocks: tl.constexpr = (DV + BLOCK_V - 1) // BLOCK_V
    key_blocks = tl.cdiv(Nk, BLOCK_K)
    columns = program % value_blocks * BLOCK_V + tl.arange(0, BLOCK_V)
    keys = (program // value_blocks) % key_blocks * BLOCK_K + tl.arange(0, BLOCK_K)
    frame = program // value_blocks // key_blocks
    b, head = frame // heads, frame % heads
    channels = tl.arange(0, BLOCK_DK)
    bias_map = None
    bias_row = 0
    bias_column = 0
    if bias is not None:
        bias_map = map_of(bias, b % bias_batches, head)
        bias_row = bias[3]
        bias_column = bias[4]

    q_map, gradient_map = map_of(q, b, head), map_of(gradient, b, head)
    k_tile = load_tile(map_of(k, b, head), keys, k[3], channels, k[4], Nk, DK)
    dv_tile = tl.zeros([BLOCK_K, BLOCK_V], tl.float32)
    for start in tl.range(0, Nq, BLOCK_Q):
        rows = start + tl.arange(0, BLOCK_Q)
        row_max, row_factor = load_row_statistics(row_statistics, frame, rows, Nq)
        q_tile = load_tile(q_map, rows, q[3], channels, q[4], Nq, DK)
        scores = score_tile(
            k_tile,
            q_tile,
            bias_map,
            bias_column,
            bias_row,
            keys,
            rows,
            Nk,
            Nq,
            scale,
            PRECISION,
        )
        weights = exponential(scores - row_max[None, :]) * row_factor[None, :]
        weights = weights.to(k_tile.dtype)
        g_tile = load_tile(gradient_map, rows, gradient[3], columns, gradient[4], Nq, DV)
        dv_tile = tl.dot(weights, g_tile.to(k_tile.dtype), dv_tile, input_precision=PRECISION)
    dv_tile *= load_or_one(gamma)
    store_tile(map_of(dv, b, head), dv_tile, keys, dv[3], columns, dv[4], Nk, DV)


@triton.jit
def dbias_kernel(
    q,
    k,
    v,
    bias,
    gradient,
    partial,
    row_statistics,
    delta,
    B,
    heads,
    Nq,
    Nk,
    bias_batches,
    frames_per_program,
    scale,
    DK: tl.constexpr,
    DV: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_DK: tl.constexpr,
    BLOCK_V: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Sums dS over some of the maps that share a bias, without gamma.

    partial is contiguous [groups, bias_batches, heads, Nq, Nk] float32. Of the maps that share
    entry w of the bias, number r is b = r * bias_batches + w. The cut into groups depends on the
    shapes only, so that the sum is the same to the bit each time.
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
    bias_map = map_of(bias, shared, head)

    total = tl.zeros([BLOCK_Q, BLOCK_K], tl.float32)
    first = group * frames_per_program
    last = tl.minimum(first + frames_per_program, B // bias_batches)
    for r in tl.range(first, last):
        b = r * bias_batches + shared
        frame = b * heads + head
        row_max, row_factor = load_row_statistics(row_statistics, frame, rows, Nq)
        row = frame.to(tl.int64) * Nq + rows
        row_delta = tl.load(delta + row, mask=rows < Nq, other=0.0)
        q_tile = load_tile(map_of(q, b, head), rows, q[3], channels, q[4], Nq, DK)
        k_tile = load_tile(map_of(k, b, head), keys, k[3], channels, k[4], Nk, DK)
        scores = score_tile(
            q_tile,
            k_tile,
            bias_map,
            bias[3],
            bias[4],
            rows,
            keys,
            Nq,
            Nk,
            scale,
            PRECISION,
        )
        weights = exponential(scores - row_max[:, None]) * row_factor[:, None]
        d_weights = channel_product(
            map_of(gradient, b, head),
            gradient[3],
            gradient[4],
            map_of(v, b, head),
            v[3],
            v[4],
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
    store_tile(base, total, rows, Nk, keys, 1, Nq, Nk)
