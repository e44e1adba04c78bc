"""Backward kernels of pixel attention: dK and dV of a block of keys.

For maps too large for one program. The formulas are in backward_whole_map_kernel.py; row_statistics
and delta come from the kernels of dQ.
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
    store_tile,
    transposed,
)


@triton.jit
def dk_kernel(
    q, k, v, bias, gradient, gamma, dk, row_statistics, delta,
    heads, Nq, Nk, bias_batches, scale,
    DK: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_DK: tl.constexpr, BLOCK_V: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Computes dK of a block of keys, query block by query block."""
    program = tl.program_id(0)
    key_blocks = tl.cdiv(Nk, BLOCK_K)
    keys = program % key_blocks * BLOCK_K + tl.arange(0, BLOCK_K)
    map_index = program // key_blocks
    b, head = map_index // heads, map_index % heads
    channels = tl.arange(0, BLOCK_DK)
    bias_matrix = transposed(matrix_of(bias, b % bias_batches, head))

    q_matrix, v_matrix = matrix_of(q, b, head), matrix_of(v, b, head)
    gradient_matrix = matrix_of(gradient, b, head)
    k_tile = load_tile(matrix_of(k, b, head), keys, channels, Nk, DK)
    dk_tile = tl.zeros([BLOCK_K, BLOCK_DK], tl.float32)
    for start in tl.range(0, Nq, BLOCK_Q):
        rows = start + tl.arange(0, BLOCK_Q)
        row_max, row_factor = load_row_statistics(row_statistics, map_index, rows, Nq)
        row = map_index.to(tl.int64) * Nq + rows
        row_delta = tl.load(delta + row, mask=rows < Nq, other=0.0)
        q_tile = load_tile(q_matrix, rows, channels, Nq, DK)
        scores = score_tile(k_tile, q_tile, bias_matrix, keys, rows, Nk, Nq, scale, PRECISION)
        weights = exponential(scores - row_max[None, :]) * row_factor[None, :]
        d_weights = channel_product(
            v_matrix, gradient_matrix, keys, rows, Nk, Nq, DV, BLOCK_V, k_tile.dtype, PRECISION
        )
        d_scores = (weights * (d_weights - row_delta[None, :])).to(q_tile.dtype)
        dk_tile = tl.dot(d_scores, q_tile, dk_tile, input_precision=PRECISION)
    dk_tile *= scale * load_or_one(gamma)
    store_tile(matrix_of(dk, b, head), dk_tile, keys, channels, Nk, DK)


@triton.jit
def dv_kernel(
    q, k, bias, gradient, gamma, dv, row_statistics,
    heads, Nq, Nk, bias_batches, scale,
    DK: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_DK: tl.constexpr, BLOCK_V: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Computes one value block of dV of a block of keys, query block by query block.

    This is not part of dk_kernel because sums of dK and all of dV do not fit into the registers.
    The scores, recomputed here, are cheap when keys are narrow.
    """
    program = tl.program_id(0)
    value_blocks: tl.constexpr = (DV + BLOCK_V - 1) // BLOCK_V
    key_blocks = tl.cdiv(Nk, BLOCK_K)
    columns = program % value_blocks * BLOCK_V + tl.arange(0, BLOCK_V)
    keys = (program // value_blocks) % key_blocks * BLOCK_K + tl.arange(0, BLOCK_K)
    map_index = program // value_blocks // key_blocks
    b, head = map_index // heads, map_index % heads
    channels = tl.arange(0, BLOCK_DK)
    bias_matrix = transposed(matrix_of(bias, b % bias_batches, head))

    q_matrix, gradient_matrix = matrix_of(q, b, head), matrix_of(gradient, b, head)
    k_tile = load_tile(matrix_of(k, b, head), keys, channels, Nk, DK)
    dv_tile = tl.zeros([BLOCK_K, BLOCK_V], tl.float32)
    for start in tl.range(0, Nq, BLOCK_Q):
        rows = start + tl.arange(0, BLOCK_Q)
        row_max, row_factor = load_row_statistics(row_statistics, map_index, rows, Nq)
        q_tile = load_tile(q_matrix, rows, channels, Nq, DK)
        scores = score_tile(k_tile, q_tile, bias_matrix, keys, rows, Nk, Nq, scale, PRECISION)
        weights = exponential(scores - row_max[None, :]) * row_factor[None, :]
        weights = weights.to(k_tile.dtype)
        g_tile = load_tile(gradient_matrix, rows, columns, Nq, DV)
        dv_tile = tl.dot(weights, g_tile.to(k_tile.dtype), dv_tile, input_precision=PRECISION)
    dv_tile *= load_or_one(gamma)
    store_tile(matrix_of(dv, b, head), dv_tile, keys, columns, Nk, DV)
