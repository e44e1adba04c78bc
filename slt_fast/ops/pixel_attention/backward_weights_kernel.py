"""Backward kernel of pixel attention: weights and gradients of scores, for products by torch.

For maps whose scores fit into a workspace. The formulas are in backward_whole_map_kernel.py. torch
computes dP = G V^T into the workspace before, and dV = P^T G from it after.
"""

from __future__ import annotations

import triton
import triton.language as tl

from slt_fast.ops.pixel_attention.tiles import (
    add_product,
    exponential,
    load_or_one,
    load_tile,
    matrix_of,
    score_tile,
    store_tile,
)


@triton.jit
def _d_weights_tile(d_weights, rows, keys, Nq, Nk):
    """Loads a tile of dP. Rows are padded to their stride: a mask of Nk would make loads narrow."""
    tile = load_tile(d_weights, rows, keys, Nq, d_weights[1]).to(tl.float32)
    return tl.where((keys < Nk)[None, :], tile, 0.0)


@triton.jit
def weights_backward_kernel(
    q, k, bias, gamma, weights_gamma, d_weights, weights, dq, delta,
    heads, Nq, Nk, bias_batches, scale,
    DK: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_DK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Computes P and dS of a block of queries, and dQ.

    d_weights holds dP and is overwritten with dS; weights is written with P, multiplied by
    weights_gamma if there is one. Both have rows padded to a multiple of 64. A first pass over the
    keys finds each row's maximum, its sum of exponentials and delta, as flash attention does
    forward, so nothing of the forward pass is needed.
    """
    program = tl.program_id(0)
    query_blocks = tl.cdiv(Nq, BLOCK_Q)
    rows = program % query_blocks * BLOCK_Q + tl.arange(0, BLOCK_Q)
    map_index = program // query_blocks
    b, head = map_index // heads, map_index % heads
    channels = tl.arange(0, BLOCK_DK)
    bias_matrix = matrix_of(bias, b % bias_batches, head)
    k_matrix = matrix_of(k, b, head)
    d_weights_matrix, weights_matrix = matrix_of(d_weights, b, head), matrix_of(weights, b, head)
    q_tile = load_tile(matrix_of(q, b, head), rows, channels, Nq, DK)

    row_max = tl.full([BLOCK_Q], float("-inf"), tl.float32)
    row_sum = tl.zeros([BLOCK_Q], tl.float32)
    row_delta = tl.zeros([BLOCK_Q], tl.float32)
    for start in tl.range(0, Nk, BLOCK_K):
        keys = start + tl.arange(0, BLOCK_K)
        k_tile = load_tile(k_matrix, keys, channels, Nk, DK)
        d_tile = _d_weights_tile(d_weights_matrix, rows, keys, Nq, Nk)
        scores = score_tile(q_tile, k_tile, bias_matrix, rows, keys, Nq, Nk, scale, PRECISION)
        new_max = tl.maximum(row_max, tl.max(scores, 1))
        # A row with only hidden keys so far has no maximum to subtract.
        shift = tl.where(new_max == float("-inf"), 0.0, new_max)
        exponentials = exponential(scores - shift[:, None])
        shrink = exponential(row_max - shift)
        row_sum = row_sum * shrink + tl.sum(exponentials, 1)
        row_delta = row_delta * shrink + tl.sum(exponentials * d_tile, 1)
        row_max = new_max
    row_factor = 1.0 / row_sum
    row_delta = row_delta * row_factor
    if delta is not None:
        tl.store(delta + map_index.to(tl.int64) * Nq + rows, row_delta, mask=rows < Nq)

    weights_factor = load_or_one(weights_gamma)
    dq_tile = tl.zeros([BLOCK_Q, BLOCK_DK], tl.float32)
    for start in tl.range(0, Nk, BLOCK_K):
        keys = start + tl.arange(0, BLOCK_K)
        k_tile = load_tile(k_matrix, keys, channels, Nk, DK)
        d_tile = _d_weights_tile(d_weights_matrix, rows, keys, Nq, Nk)
        scores = score_tile(q_tile, k_tile, bias_matrix, rows, keys, Nq, Nk, scale, PRECISION)
        tile = exponential(scores - row_max[:, None]) * row_factor[:, None]
        d_scores = (tile * (d_tile - row_delta[:, None])).to(q_tile.dtype)
        store_tile(weights_matrix, tile * weights_factor, rows, keys, Nq, weights_matrix[1])
        store_tile(d_weights_matrix, d_scores, rows, keys, Nq, d_weights_matrix[1])
        dq_tile = add_product(dq_tile, d_scores, k_tile, PRECISION)
    dq_tile *= scale * load_or_one(gamma)
    store_tile(matrix_of(dq, b, head), dq_tile, rows, channels, Nq, DK)
