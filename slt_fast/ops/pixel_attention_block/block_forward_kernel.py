"""The block's forward pass on maps of at most 64 positions, several whole maps a program."""

from __future__ import annotations

import triton
import triton.language as tl

from slt_fast.ops.pixel_attention.tiles import exponential


@triton.jit
def _project(
    x_tile, weight, table, n, N, first,
    TABLE_STRIDE: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Computes BLOCK_COLUMNS of the projection's outputs, in float32."""
    w_tile = weight.load([0, 0, first, 0]).reshape(BLOCK_COLUMNS, x_tile.shape[1])
    total = tl.dot(x_tile, tl.trans(w_tile), input_precision=PRECISION)
    if table is not None:
        columns = first + tl.arange(0, BLOCK_COLUMNS)
        offsets = (n * TABLE_STRIDE)[:, None] + columns[None, :]
        total += tl.load(table + offsets, mask=(n < N)[:, None], other=0.0).to(tl.float32)
    return total


@triton.jit
def _sum_of_map(rows, MAPS: tl.constexpr, BLOCK_POSITIONS: tl.constexpr):
    """Returns for each row the sum over the rows of its map."""
    total = tl.sum(rows.reshape(MAPS, BLOCK_POSITIONS), 1)[:, None]
    return tl.broadcast_to(total, (MAPS, BLOCK_POSITIONS)).reshape(MAPS * BLOCK_POSITIONS)


@triton.jit
def block_forward_kernel(
    x, x_blocks, weight, table, encoding, gamma, qkv, out,
    N, scale, one,
    CHANNELS: tl.constexpr, TABLE_STRIDE: tl.constexpr, BLOCK_ROWS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_POSITIONS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Computes out = x + encoding + gamma * attention(x weight^T + table) and stores qkv.

    x, weight, encoding, qkv and out are descriptors; x_blocks is x in blocks of BLOCK_COLUMNS
    channels. There are BLOCK_COLUMNS key channels. table has adjacent outputs and
    TABLE_STRIDE from a position to the next. table, encoding and qkv may be None. one is 1.0.
    """
    MAPS: tl.constexpr = BLOCK_ROWS // BLOCK_POSITIONS
    first = tl.program_id(0) * MAPS
    rows = tl.arange(0, BLOCK_ROWS)
    n = rows % BLOCK_POSITIONS
    # The product keeps all channels in registers, as the left operand of every projection, so
    # that only weights pass through shared memory. The compiler leaves a plain load there.
    x_tile = x.load([first, 0, 0, 0]).reshape(BLOCK_ROWS, BLOCK_CHANNELS)
    x_tile = (x_tile * one).to(x_tile.dtype)

    q = _project(x_tile, weight, table, n, N, 0, TABLE_STRIDE, BLOCK_COLUMNS, PRECISION)
    k = _project(x_tile, weight, table, n, N, BLOCK_COLUMNS, TABLE_STRIDE, BLOCK_COLUMNS, PRECISION)
    q, k = q.to(weight.dtype), k.to(weight.dtype)
    if qkv is not None:
        qkv.store([first, 0, 0, 0], q.reshape(MAPS, 1, BLOCK_POSITIONS, BLOCK_COLUMNS))
        k_block = k.reshape(MAPS, 1, BLOCK_POSITIONS, BLOCK_COLUMNS)
        qkv.store([first, 0, 0, BLOCK_COLUMNS], k_block)
    scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
    same_map = (rows // BLOCK_POSITIONS)[:, None] == (rows // BLOCK_POSITIONS)[None, :]
    scores = tl.where(same_map & (n < N)[None, :], scores, float("-inf"))
    weights = exponential(scores - tl.max(scores, 1)[:, None])
    weights = (weights * (1.0 / tl.sum(weights, 1))[:, None]).to(q.dtype)

    factor = tl.load(gamma).to(tl.float32)
    for start in tl.range(0, CHANNELS, BLOCK_COLUMNS):
        output = 2 * BLOCK_COLUMNS + start
        v = _project(x_tile, weight, table, n, N, output, TABLE_STRIDE, BLOCK_COLUMNS, PRECISION)
        v = v.to(weight.dtype)
        if qkv is not None:
            v_block = v.reshape(MAPS, 1, BLOCK_POSITIONS, BLOCK_COLUMNS)
            qkv.store([first, 0, 0, output], v_block)
        # Weights between maps are 0, and 0 times NaN would spoil the neighbours of a bad map. So
        # values that are not finite leave the product, and make these channels of their map NaN.
        zero_or_nan = v.to(tl.float32) * 0.0
        nan_of_map = _sum_of_map(tl.sum(zero_or_nan, 1), MAPS, BLOCK_POSITIONS)
        v = tl.where(zero_or_nan == 0.0, v, 0.0).to(weight.dtype)
        tile = tl.dot(weights, v, input_precision=PRECISION) * factor + nan_of_map[:, None]
        h = x_blocks.load([first, 0, 0, start]).reshape(BLOCK_ROWS, BLOCK_COLUMNS)
        tile += h.to(tl.float32)
        if encoding is not None:
            added = encoding.load([0, 0, 0, start]).reshape(BLOCK_ROWS, BLOCK_COLUMNS)
            tile += added.to(tl.float32)
        block = tile.to(out.dtype).reshape(MAPS, 1, BLOCK_POSITIONS, BLOCK_COLUMNS)
        out.store([first, 0, 0, start], block)
