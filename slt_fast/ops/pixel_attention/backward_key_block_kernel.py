"""Backward kernels of pixel attention for large maps: dK, dV and dS^T of a block of keys.

The formulas are in backward_whole_map_kernel.py. The flash kernels of the forward pass save what
these read: row_statistics, and the attention's output `attended`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from slt_fast.ops.pixel_attention.tiles import (
    exponential,
    load_or_one,
    load_row_statistics,
    load_tile,
    matrix_of,
    store_tile,
    transposed,
)


@triton.jit
def delta_kernel(
    attended, gradient, delta, heads, Nq,
    DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Computes delta = rowsum(gradient * attended) of a block of queries: BLOCK_V >= DV."""
    program = tl.program_id(0)
    query_blocks = tl.cdiv(Nq, BLOCK_Q)
    rows = program % query_blocks * BLOCK_Q + tl.arange(0, BLOCK_Q)
    map_index = program // query_blocks
    b, head = map_index // heads, map_index % heads
    columns = tl.arange(0, BLOCK_V)
    a_tile = load_tile(matrix_of(attended, b, head), rows, columns, Nq, DV)
    g_tile = load_tile(matrix_of(gradient, b, head), rows, columns, Nq, DV)
    total = tl.sum(a_tile.to(tl.float32) * g_tile.to(tl.float32), 1)
    tl.store(delta + map_index.to(tl.int64) * Nq + rows, total, mask=rows < Nq)


@triton.jit
def _load_rows(
    tensor, b, head, first, num_rows, CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr, BLOCK_CHANNELS: tl.constexpr, DESCRIBED: tl.constexpr,
):  # fmt: skip
    """Loads all channels of a block of positions; zero outside the map."""
    if DESCRIBED:
        tile = tensor.load([b, head, first, 0]).reshape(BLOCK, BLOCK_CHANNELS)
    else:
        rows, channels = first + tl.arange(0, BLOCK), tl.arange(0, BLOCK_CHANNELS)
        tile = load_tile(matrix_of(tensor, b, head), rows, channels, num_rows, CHANNELS)
    return tile


@triton.jit
def _store_block(
    tensor, tile, b, head, first, start, num_rows, num_columns,
    BLOCK: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, DESCRIBED: tl.constexpr,
):  # fmt: skip
    """Stores the part of a tile that is inside the matrix."""
    if DESCRIBED:
        block = tile.to(tensor.dtype).reshape(1, 1, BLOCK, BLOCK_COLUMNS)
        tensor.store([b, head, first, start], block)
    else:
        rows, columns = first + tl.arange(0, BLOCK), start + tl.arange(0, BLOCK_COLUMNS)
        store_tile(matrix_of(tensor, b, head), tile, rows, columns, num_rows, num_columns)


@triton.jit
def key_block_backward_kernel(
    q, k, v, bias, gradient, gamma, d_scores, dk, dv, row_statistics, delta,
    heads, Nq, Nk, width, bias_batches, scale,
    DK: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    BLOCK_DK: tl.constexpr, BLOCK_V: tl.constexpr, PRECISION: tl.constexpr,
    DESCRIBED: tl.constexpr,
):  # fmt: skip
    """Computes dK and dV of a block of keys, query block by query block, and stores dS^T.

    Keys and values stay in shared memory, and each tile of the gradient is fetched once for dP and
    dV: BLOCK_V >= DV. If DESCRIBED, q, k, v, gradient, d_scores and dv are tensor descriptors,
    because addresses of such wide tiles take registers. d_scores is [B, heads, Nk, padded Nq].
    """
    program = tl.program_id(0)
    key_blocks = tl.cdiv(Nk, BLOCK_K)
    first_key = program % key_blocks * BLOCK_K
    keys = first_key + tl.arange(0, BLOCK_K)
    map_index = program // key_blocks
    b, head = map_index // heads, map_index % heads
    # A signed number keeps a register for its sign, which spills in Triton 3.6.
    entry = map_index.to(tl.uint32)
    bias_matrix = transposed(matrix_of(bias, b % bias_batches, head))
    k_tile = _load_rows(k, b, head, first_key, Nk, DK, BLOCK_K, BLOCK_DK, DESCRIBED)
    v_tile = _load_rows(v, b, head, first_key, Nk, DV, BLOCK_K, BLOCK_V, DESCRIBED)
    dk_tile = tl.zeros([BLOCK_K, BLOCK_DK], tl.float32)
    dv_tile = tl.zeros([BLOCK_K, BLOCK_V], tl.float32)
    for start in tl.range(0, Nq, BLOCK_Q):
        rows = start + tl.arange(0, BLOCK_Q)
        row_max, row_factor = load_row_statistics(row_statistics, entry, rows, Nq)
        row = entry.to(tl.int64) * Nq + rows
        row_delta = tl.load(delta + row, mask=rows < Nq, other=0.0)
        q_tile = _load_rows(q, b, head, start, Nq, DK, BLOCK_Q, BLOCK_DK, DESCRIBED)
        g_tile = _load_rows(gradient, b, head, start, Nq, DV, BLOCK_Q, BLOCK_V, DESCRIBED)
        scores = tl.dot(k_tile, tl.trans(q_tile), input_precision=PRECISION) * scale
        if bias is not None:
            scores += load_tile(bias_matrix, keys, rows, Nk, Nq).to(tl.float32)
        weights = exponential(scores - row_max[None, :]) * row_factor[None, :]
        d_weights = tl.dot(v_tile, tl.trans(g_tile), input_precision=PRECISION)
        d_tile = (weights * (d_weights - row_delta[None, :])).to(k_tile.dtype)
        dv_tile = tl.dot(weights.to(k_tile.dtype), g_tile, dv_tile, input_precision=PRECISION)
        dk_tile = tl.dot(d_tile, q_tile, dk_tile, input_precision=PRECISION)
        _store_block(
            d_scores, d_tile, b, head, first_key, start, Nk, width, BLOCK_K, BLOCK_Q, DESCRIBED
        )
    factor = load_or_one(gamma)
    channels = tl.arange(0, BLOCK_DK)
    store_tile(matrix_of(dk, b, head), dk_tile * (scale * factor), keys, channels, Nk, DK)
    _store_block(dv, dv_tile * factor, b, head, first_key, 0, Nk, DV, BLOCK_K, BLOCK_V, DESCRIBED)
