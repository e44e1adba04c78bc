"""Forward kernels of pixel attention: softmax(q k^T * scale + bias) v, or with its residual

    out = residual + encoding + gamma * softmax(q k^T * scale + bias) v.

Sums are float32. Tensors are tuples as described in tiles.py; one that is None leaves its part out
at compile time. A program's number counts value blocks fastest, then query blocks, then heads and
maps, so that programs side by side share keys and values in the cache.
"""

from __future__ import annotations

import triton
import triton.language as tl

from slt_fast.ops.pixel_attention.tiles import (
    exponential,
    load_tile,
    map_of,
    score_tile,
    store_tile,
)


@triton.jit
def _store_output(
    tile, residual, encoding, gamma, out, b, head, rows, columns, Nq, DV: tl.constexpr
):
    """Adds the residual, where there is one, in float32 and rounds once."""
    if residual is not None:
        # One after the other, so that few tiles are in registers at a time.
        tile = tile * tl.load(gamma).to(tl.float32)
        h = load_tile(map_of(residual, b, head), rows, residual[3], columns, residual[4], Nq, DV)
        tile += h.to(tl.float32)
        if encoding is not None:
            base = map_of(encoding, b, head)
            added = load_tile(base, rows, encoding[3], columns, encoding[4], Nq, DV)
            tile += added.to(tl.float32)
    store_tile(map_of(out, b, head), tile, rows, out[3], columns, out[4], Nq, DV)


@triton.jit
def whole_row_forward_kernel(
    q,
    k,
    v,
    bias,
    residual,
    encoding,
    gamma,
    out,
    heads,
    Nq,
    Nk,
    bias_batches,
    scale,
    value_splits,
    DK: tl.constexpr,
    DV: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_DK: tl.constexpr,
    BLOCK_V: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """All keys at once: BLOCK_K >= Nk. Nothing is saved for the backward pass."""
    program = tl.program_id(0)
    split = program % value_splits
    query_blocks = tl.cdiv(Nq, BLOCK_Q)
    rows = (program // value_splits) % query_blocks * BLOCK_Q + tl.arange(0, BLOCK_Q)
    frame = program // value_splits // query_blocks
    b, head = frame // heads, frame % heads
    keys = tl.arange(0, BLOCK_K)
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
    weights = exponential(scores - tl.max(scores, 1)[:, None])
    factor = 1.0 / tl.sum(weights, 1)
    v_map = map_of(v, b, head)
    weights = weights.to(v_map.dtype.element_ty)
    for start in tl.range(split * BLOCK_V, DV, BLOCK_V * value_splits):
        columns = start + tl.arange(0, BLOCK_V)
        v_tile = load_tile(v_map, keys, v[3], columns, v[4], Nk, DV)
        tile = tl.dot(weights, v_tile, input_precision=PRECISION) * factor[:, None]
        _store_output(tile, residual, encoding, gamma, out, b, head, rows, columns, Nq, DV)


@triton.jit
def flash_forward_kernel(
    q,
    k,
    v,
    bias,
    residual,
    encoding,
    gamma,
    out,
    attended,
    log_sum_exp,
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
    """Keys block by block with a running maximum (Dao, 2023); each program makes one value block.

    Saves the logarithm of each row's sum [B, heads, Nq] and, where there is a residual, the
    attention's own output for the backward pass.
    """
    program = tl.program_id(0)
    value_blocks: tl.constexpr = (DV + BLOCK_V - 1) // BLOCK_V
    query_blocks = tl.cdiv(Nq, BLOCK_Q)
    value_block = program % value_blocks
    rows = (program // value_blocks) % query_blocks * BLOCK_Q + tl.arange(0, BLOCK_Q)
    frame = program // value_blocks // query_blocks
    b, head = frame // heads, frame % heads
    channels = tl.arange(0, BLOCK_DK)
    columns = value_block * BLOCK_V + tl.arange(0, BLOCK_V)
    bias_map = None
    bias_row = 0
    bias_column = 0
    if bias is not None:
        bias_map = map_of(bias, b % bias_batches, head)
        bias_row = bias[3]
        bias_column = bias[4]

    k_map = map_of(k, b, head)
    v_map = map_of(v, b, head)
    q_tile = load_tile(map_of(q, b, head), rows, q[3], channels, q[4], Nq, DK)
    row_max = tl.full([BLOCK_Q], float("-inf"), tl.float32)
    row_sum = tl.zeros([BLOCK_Q], tl.float32)
    tile = tl.zeros([BLOCK_Q, BLOCK_V], tl.float32)
    for start in tl.range(0, Nk, BLOCK_K):
        keys = start + tl.arange(0, BLOCK_K)
        k_tile = load_tile(k_map, keys, k[3], channels, k[4], Nk, DK)
        scores = score_tile(
            q_tile, k_tile, bias_map, bias_row, bias_column, rows, keys, Nq, Nk, scale, PRECISION
        )
        new_max = tl.maximum(row_max, tl.max(scores, 1))
        # A row hidden so far has no maximum to subtract.
        shift = tl.where(new_max == float("-inf"), 0.0, new_max)
        weights = exponential(scores - shift[:, None])
        shrink = exponential(row_max - shift)
        row_sum = row_sum * shrink + tl.sum(weights, 1)
        row_max = new_max
        v_tile = load_tile(v_map, keys, v[3], columns, v[4], Nk, DV)
        weights = weights.to(v_tile.dtype)
        tile = tl.dot(weights, v_tile, tile * shrink[:, None], input_precision=PRECISION)

    tile = tile * (1.0 / row_sum)[:, None]
    if value_block == 0:
        row = frame.to(tl.int64) * Nq + rows
        tl.store(log_sum_exp + row, row_max + tl.log(row_sum), mask=rows < Nq)
    if attended is not None:
        base = map_of(attended, b, head)
        store_tile(base, tile, rows, attended[3], columns, attended[4], Nq, DV)
    _store_output(tile, residual, encoding, gamma, out, b, head, rows, columns, Nq, DV)
