"""Backward kernel of pixel attention for small maps: one program computes all gradients of a map.

P is the softmax's weights, recomputed from q and k. G is the gradient of the output, multiplied by
gamma if there is one. All backward kernels compute

    dV = P^T G,   dP = G V^T,   delta = rowsum(P * dP) = rowsum(G * output),
    dS = P * (dP - delta),   dQ = dS K * scale,   dK = dS^T Q * scale,   dbias = dS.

Every gradient is written once, by one program: there are no atomics. The kernels read the gradient
without gamma and multiply their float32 sums by gamma. delta is stored without gamma, so its sum is
the gradient of gamma; it is contiguous [B, heads, Nq] float32. tiles.py describes the tensors.
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
    store_row_statistics,
    store_tile,
)


@triton.jit
def whole_map_backward_kernel(
    q, k, v, bias, gradient, gamma, dq, dk, dv, row_statistics, delta,
    heads, Nq, Nk, bias_batches, scale,
    DK: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_DK: tl.constexpr, BLOCK_V: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Computes all gradients of one map of one head: BLOCK_Q >= Nq, BLOCK_K >= Nk."""
    map_index = tl.program_id(0)
    b, head = map_index // heads, map_index % heads
    rows, keys = tl.arange(0, BLOCK_Q), tl.arange(0, BLOCK_K)
    channels = tl.arange(0, BLOCK_DK)
    bias_matrix = matrix_of(bias, b % bias_batches, head)

    q_tile = load_tile(matrix_of(q, b, head), rows, channels, Nq, DK)
    k_tile = load_tile(matrix_of(k, b, head), keys, channels, Nk, DK)
    scores = score_tile(q_tile, k_tile, bias_matrix, rows, keys, Nq, Nk, scale, PRECISION)
    row_max = tl.max(scores, 1)
    weights = exponential(scores - row_max[:, None])
    row_sum = tl.sum(weights, 1)
    weights = weights / row_sum[:, None]

    gamma_value = load_or_one(gamma)
    v_matrix, dv_matrix = matrix_of(v, b, head), matrix_of(dv, b, head)
    gradient_matrix = matrix_of(gradient, b, head)
    rounded = weights.to(v_matrix[0].dtype.element_ty)
    d_weights = tl.zeros([BLOCK_Q, BLOCK_K], tl.float32)
    for start in tl.range(0, DV, BLOCK_V):
        columns = start + tl.arange(0, BLOCK_V)
        v_tile = load_tile(v_matrix, keys, columns, Nk, DV)
        g_tile = load_tile(gradient_matrix, rows, columns, Nq, DV)
        g_tile = g_tile.to(v_tile.dtype)
        d_weights = add_product(d_weights, g_tile, tl.trans(v_tile), PRECISION)
        dv_tile = tl.dot(tl.trans(rounded), g_tile, input_precision=PRECISION) * gamma_value
        store_tile(dv_matrix, dv_tile, keys, columns, Nk, DV)

    row_delta = tl.sum(weights * d_weights, 1)
    row = map_index.to(tl.int64) * Nq + rows
    if delta is not None:
        tl.store(delta + row, row_delta, mask=rows < Nq)
    if row_statistics is not None:
        store_row_statistics(row_statistics, map_index, rows, Nq, row_max, row_sum)
    d_scores = (weights * (d_weights - row_delta[:, None])).to(q_tile.dtype)
    factor = scale * gamma_value
    dq_tile = tl.dot(d_scores, k_tile, input_precision=PRECISION) * factor
    dk_tile = tl.dot(tl.trans(d_scores), q_tile, input_precision=PRECISION) * factor
    store_tile(matrix_of(dq, b, head), dq_tile, rows, channels, Nq, DK)
    store_tile(matrix_of(dk, b, head), dk_tile, keys, channels, Nk, DK)
