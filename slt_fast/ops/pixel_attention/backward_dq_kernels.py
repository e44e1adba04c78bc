"""Backward kernels of pixel attention: dQ of a block of queries.

The formulas are in backward_whole_map_kernel.py. Both kernels also store delta.
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
    matrix_of,
    score_tile,
    store_row_statistics,
    store_tile,
)


@triton.jit
def whole_row_dq_kernel(
    q, k, v, bias, gradient, gamma, dq, row_statistics, delta,
    heads, Nq, Nk, bias_batches, scale,
    DK: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_DK: tl.constexpr, BLOCK_V: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Computes dQ of a block of queries against all keys; stores row_statistics and delta."""
    program = tl.program_id(0)
    query_blocks = tl.cdiv(Nq, BLOCK_Q)
    rows = program % query_blocks * BLOCK_Q + tl.arange(0, BLOCK_Q)
    map_index = program // query_blocks
    b, head = map_index // heads, map_index % heads
    keys, channels = tl.arange(0, BLOCK_K), tl.arange(0, BLOCK_DK)
    bias_matrix = matrix_of(bias, b % bias_batches, head)

    q_tile = load_tile(matrix_of(q, b, head), rows, channels, Nq, DK)
    k_tile = load_tile(matrix_of(k, b, head), keys, channels, Nk, DK)
    scores = score_tile(q_tile, k_tile, bias_matrix, rows, keys, Nq, Nk, scale, PRECISION)
    row_max = tl.max(scores, 1)
    weights = exponential(scores - row_max[:, None])
    row_sum = tl.sum(weights, 1)
    weights = weights / row_sum[:, None]
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
    row_delta = tl.sum(weights * d_weights, 1)
    row = map_index.to(tl.int64) * Nq + rows
    tl.store(delta + row, row_delta, mask=rows < Nq)
    store_row_statistics(row_statistics, map_index, rows, Nq, row_max, row_sum)
    d_scores = (weights * (d_weights - row_delta[:, None])).to(q_tile.dtype)
    dq_tile = tl.dot(d_scores, k_tile, input_precision=PRECISION) * (scale * load_or_one(gamma))
    store_tile(matrix_of(dq, b, head), dq_tile, rows, channels, Nq, DK)


@triton.jit
def flash_dq_kernel(
    q, k, v, bias, attended, gradient, gamma, dq, row_statistics, delta,
    heads, Nq, Nk, bias_batches, scale,
    DK: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_DK: tl.constexpr, BLOCK_V: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Computes dQ of a block of queries, key block by key block.

    Stores delta = rowsum(gradient * attended).
    """
    program = tl.program_id(0)
    query_blocks = tl.cdiv(Nq, BLOCK_Q)
    rows = program % query_blocks * BLOCK_Q + tl.arange(0, BLOCK_Q)
    map_index = program // query_blocks
    b, head = map_index // heads, map_index % heads
    channels = tl.arange(0, BLOCK_DK)
    bias_matrix = matrix_of(bias, b % bias_batches, head)

    gradient_matrix, attended_matrix = matrix_of(gradient, b, head), matrix_of(attended, b, head)
    row_delta = tl.zeros([BLOCK_Q], tl.float32)
    for start in tl.range(0, DV, BLOCK_V):
        columns = start + tl.arange(0, BLOCK_V)
        g_tile = load_tile(gradient_matrix, rows, columns, Nq, DV)
        a_tile = load_tile(attended_matrix, rows, columns, Nq, DV)
        row_delta += tl.sum(g_tile.to(tl.float32) * a_tile.to(tl.float32), 1)
    row = map_index.to(tl.int64) * Nq + rows
    tl.store(delta + row, row_delta, mask=rows < Nq)

    row_max, row_factor = load_row_statistics(row_statistics, map_index, rows, Nq)
    k_matrix, v_matrix = matrix_of(k, b, head), matrix_of(v, b, head)
    q_tile = load_tile(matrix_of(q, b, head), rows, channels, Nq, DK)
    dq_tile = tl.zeros([BLOCK_Q, BLOCK_DK], tl.float32)
    for start in tl.range(0, Nk, BLOCK_K):
        keys = start + tl.arange(0, BLOCK_K)
        k_tile = load_tile(k_matrix, keys, channels, Nk, DK)
        scores = score_tile(q_tile, k_tile, bias_matrix, rows, keys, Nq, Nk, scale, PRECISION)
        weights = exponential(scores - row_max[:, None]) * row_factor[:, None]
        d_weights = channel_product(
            gradient_matrix, v_matrix, rows, keys, Nq, Nk, DV, BLOCK_V, q_tile.dtype, PRECISION
        )
        d_scores = (weights * (d_weights - row_delta[:, None])).to(q_tile.dtype)
        dq_tile = tl.dot(d_scores, k_tile, dq_tile, input_precision=PRECISION)
    dq_tile *= scale * load_or_one(gamma)
    store_tile(matrix_of(dq, b, head), dq_tile, rows, channels, Nq, DK)
