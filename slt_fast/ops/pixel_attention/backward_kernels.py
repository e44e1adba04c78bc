"""Backward kernels of pixel attention that work query by query: whole maps, and dQ.

Without atomics: every gradient is written once, by one program. With P the softmax's weights and G
the gradient of the output (times gamma, where there is one),

    dV = P^T G,   dP = G V^T,   delta = rowsum(P * dP) = rowsum(G * output),
    dS = P * (dP - delta),   dQ = dS K * scale,   dK = dS^T Q * scale,   dbias = dS.

The kernels read the gradient without gamma and multiply their float32 sums by it; delta is stored
without it, so that its sum is the gradient of gamma. P is computed anew from q and k. Tensors are
tuples as described in tiles.py; delta is contiguous [B, heads, Nq] float32.
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
    store_row_statistics,
    store_tile,
)


@triton.jit
def frame_backward_kernel(
    q,
    k,
    v,
    bias,
    gradient,
    gamma,
    dq,
    dk,
    dv,
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
    """A whole map of one head in one program: BLOCK_Q >= Nq, BLOCK_K >= Nk."""
    frame = tl.program_id(0)
    b, head = frame // heads, frame % heads
    rows, keys = tl.arange(0, BLOCK_Q), tl.arange(0, BLOCK_K)
    channels = tl.arange(0, BLOCK_DK)
    bias_map = None
    bias_row = 0
    bias_column = 0
    if bias is not None:
        bias_map = map_of(bias, b % bias_batches, head)
        bias_row = bias[3]
        bias_column = bias[4]

    q_tile = load_tile(map_of(q, b, head), rows, q[3], channels, q[4], Nq, DK)
    k_tile = load_tile(map_of(k, b, head), keys, k[3], channels, k[4], Nk, DK)
    scores = score_tile(
        q_tile, k_tile, bias_map, bias_row, bias_column, rows, keys, Nq, Nk, scale, PRECISION
    )
    row_max = tl.max(scores, 1)
    weights = exponential(scores - row_max[:, None])
    row_sum = tl.sum(weights, 1)
    weights = weights / row_sum[:, None]

    gamma_value = load_or_one(gamma)
    v_map, dv_map = map_of(v, b, head), map_of(dv, b, head)
    gradient_map = map_of(gradient, b, head)
    rounded = weights.to(v_map.dtype.element_ty)
    d_weights = tl.zeros([BLOCK_Q, BLOCK_K], tl.float32)
    for start in tl.range(0, DV, BLOCK_V):
        columns = start + tl.arange(0, BLOCK_V)
        v_tile = load_tile(v_map, keys, v[3], columns, v[4], Nk, DV)
        g_tile = load_tile(gradient_map, rows, gradient[3], columns, gradient[4], Nq, DV)
        g_tile = g_tile.to(v_tile.dtype)
        d_weights = tl.dot(g_tile, tl.trans(v_tile), d_weights, input_precision=PRECISION)
        dv_tile = tl.dot(tl.trans(rounded), g_tile, input_precision=PRECISION) * gamma_value
        store_tile(dv_map, dv_tile, keys, dv[3], columns, dv[4], Nk, DV)

    row_delta = tl.sum(weights * d_weights, 1)
    row = frame.to(tl.int64) * Nq + rows
    if delta is not None:
        tl.store(delta + row, row_delta, mask=rows < Nq)
    if row_statistics is not None:
        store_row_statistics(row_statistics, frame, rows, Nq, row_max, row_sum)
    d_scores = (weights * (d_weights - row_delta[:, None])).to(q_tile.dtype)
    factor = scale * gamma_value
    dq_tile = tl.dot(d_scores, k_tile, input_precision=PRECISION) * factor
    dk_tile = tl.dot(tl.trans(d_scores), q_tile, input_precision=PRECISION) * factor
    store_tile(map_of(dq, b, head), dq_tile, rows, dq[3], channels, dq[4], Nq, DK)
    store_tile(map_of(dk, b, head), dk_tile, keys, dk[3], channels, dk[4], Nk, DK)


@triton.jit
def whole_row_dq_kernel(
    q,
    k,
    v,
    bias,
    gradient,
    gamma,
    dq,
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
    """dQ of a block of queries against all keys at once; stores row_statistics and delta."""
    program = tl.program_id(0)
    query_blocks = tl.cdiv(Nq, BLOCK_Q)
    rows = program % query_blocks * BLOCK_Q + tl.arange(0, BLOCK_Q)
    frame = program // query_blocks
    b, head = frame // heads, frame % heads
    keys, channels = tl.arange(0, BLOCK_K), tl.arange(0, BLOCK_DK)
    bias_map = None
    bias_row = 0
    bias_column = 0
    if bias is not None:
        bias_map = map_of(bias, b % bias_batches, head)
        bias_row = bias[3]
        bias_column = bias[4]

    q_tile = load_tile(map_of(q, b, head), rows, q[3], channels, q[4], Nq, DK)
    k_tile = load_tile(map_of(k, b, head), keys, k[3], channels, k[4], Nk, DK)
    scores = score_tile(
        q_tile, k_tile, bias_map, bias_row, bias_column, rows, keys, Nq, Nk, scale, PRECISION
    )
    row_max = tl.max(scores, 1)
    weights = exponential(scores - row_max[:, None])
    row_sum = tl.sum(weights, 1)
    weights = weights / row_sum[:, None]
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
    row_delta = tl.sum(weights * d_weights, 1)
    row = frame.to(tl.int64) * Nq + rows
    tl.store(delta + row, row_delta, mask=rows < Nq)
    store_row_statistics(row_statistics, frame, rows, Nq, row_max, row_sum)
    d_scores = (weights * (d_weights - row_delta[:, None])).to(q_tile.dtype)
    dq_tile = tl.dot(d_scores, k_tile, input_precision=PRECISION) * (scale * load_or_one(gamma))
    store_tile(map_of(dq, b, head), dq_tile, rows, dq[3], channels, dq[4], Nq, DK)


@triton.jit
def flash_dq_kernel(
    q,
    k,
    v,
    bias,
    attended,
    gradient,
    gamma,
    dq,
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
    """dQ of a block of queries, keys block by block; stores delta = rowsum(gradient * attended)."""
    program = tl.program_id(0)
    query_blocks = tl.cdiv(Nq, BLOCK_Q)
    rows = program % query_blocks * BLOCK_Q + tl.arange(0, BLOCK_Q)
    frame = program // query_blocks
    b, head = frame // heads, frame % heads
    channels = tl.arange(0, BLOCK_DK)
    bias_map = None
    bias_row = 0
    bias_column = 0
    if bias is not None:
        bias_map = map_of(bias, b % bias_batches, head)
        bias_row = bias[3]
        bias_column = bias[4]

    gradient_map, attended_map = map_of(gradient, b, head), map_of(attended, b, head)
    row_delta = tl.zeros([BLOCK_Q], tl.float32)
    for start in tl.range(0, DV, BLOCK_V):
        columns = start + tl.arange(0, BLOCK_V)
        g_tile = load_tile(gradient_map, rows, gradient[3], columns, gradient[4], Nq, DV)
        a_tile = load_tile(attended_map, rows, attended[3], columns, attended[4], Nq, DV)
        row_delta += tl.sum(g_tile.to(tl.float32) * a_tile.to(tl.float32), 1)
    row = frame.to(tl.int64) * Nq + rows
    tl.store(delta + row, row_delta, mask=rows < Nq)

    row_max, row_factor = load_row_statistics(row_statistics, frame, rows, Nq)
    k_map, v_map = map_of(k, b, head), map_of(v, b, head)
    q_tile = load_tile(map_of(q, b, head), rows, q[3], channels, q[4], Nq, DK)
    dq_tile = tl.zeros([BLOCK_Q, BLOCK_DK], tl.float32)
    for start in tl.range(0, Nk, BLOCK_K):
        keys = start + tl.arange(0, BLOCK_K)
        k_tile = load_tile(k_map, keys, k[3], channels, k[4], Nk, DK)
        scores = score_tile(
            q_tile,
            k_tile,
            bias_map,
            bias_row,
            bias_column,
            rows,
            keys,
            Nq,
            Nk,
            scale,
            PRECISION,
        )
        weights = exponential(scores - row_max[:, None]) * row_factor[:, None]
        d_weights = channel_product(
            gradient_map,
            gradient[3],
            gradient[4],
            v_map,
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
        d_scores = (weights * (d_weights - row_delta[:, None])).to(q_tile.dtype)
        dq_tile = tl.dot(d_scores, k_tile, dq_tile, input_precision=PRECISION)
    dq_tile *= scale * load_or_one(gamma)
    store_tile(map_of(dq, b, head), dq_tile, rows, dq[3], channels, dq[4], Nq, DK)
