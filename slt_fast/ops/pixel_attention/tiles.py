"""What the attention kernels share: tiles of strided matrices, and products of them.

A tensor [B, heads, N, channels] enters a kernel as the tuple (pointer, batch stride, head stride,
position stride, channel stride); of each map of each head a kernel sees a matrix [N, channels].
Offsets are int64, as a map may be a small window into a large tensor.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def map_of(tensor, b, head):
    """Where the matrix of batch entry b and a head begins."""
    return tensor[0] + b.to(tl.int64) * tensor[1] + head.to(tl.int64) * tensor[2]


@triton.jit
def load_tile(base, rows, row_stride, columns, column_stride, num_rows, num_columns):
    """The tile [rows, columns]; zero outside the matrix."""
    mask = (rows < num_rows)[:, None] & (columns < num_columns)[None, :]
    offsets = rows.to(tl.int64)[:, None] * row_stride
    offsets += columns.to(tl.int64)[None, :] * column_stride
    return tl.load(base + offsets, mask=mask, other=0.0)


@triton.jit
def store_tile(base, tile, rows, row_stride, columns, column_stride, num_rows, num_columns):
    """Writes what lies inside the matrix, in its type."""
    mask = (rows < num_rows)[:, None] & (columns < num_columns)[None, :]
    offsets = rows.to(tl.int64)[:, None] * row_stride
    offsets += columns.to(tl.int64)[None, :] * column_stride
    tl.store(base + offsets, tile.to(base.dtype.element_ty), mask=mask)


@triton.jit
def score_tile(
    left, right, bias, bias_row, bias_column, rows, columns, num_rows, num_columns, scale, PRECISION
):
    """left right^T * scale + bias; -inf outside columns.

    bias is a pointer to the matrix of this map and head, or None.
    """
    scores = tl.dot(left, tl.trans(right), input_precision=PRECISION) * scale
    if bias is not None:
        tile = load_tile(bias, rows, bias_row, columns, bias_column, num_rows, num_columns)
        scores += tile.to(tl.float32)
    return tl.where((columns < num_columns)[None, :], scores, float("-inf"))


@triton.jit
def exponential(x):
    """e^x. Of differences only: multiplied by log2 e, large scores would lose their last digits."""
    return tl.exp2(x * LOG2_E)


@triton.jit
def store_row_statistics(pointer, frame, rows, Nq, row_max, row_sum):
    """Keeps what makes weights of scores: each row's maximum, and 1 / its sum of exponentials.

    Their logarithm, one number instead of two, would cost large scores their last digits. The
    layout is [B, heads, 2, Nq] float32.
    """
    row = pointer + frame.to(tl.int64) * 2 * Nq + rows
    tl.store(row, row_max, mask=rows < Nq)
    tl.store(row + Nq, 1.0 / row_sum, mask=rows < Nq)


@triton.jit
def load_row_statistics(pointer, frame, rows, Nq):
    """The maximum and the factor of each row; 0 outside, so that such rows have no weights."""
    row = pointer + frame.to(tl.int64) * 2 * Nq + rows
    row_max = tl.load(row, mask=rows < Nq, other=0.0)
    return row_max, tl.load(row + Nq, mask=rows < Nq, other=0.0)


@triton.jit
def channel_product(
    left,
    left_row,
    left_channel,
    right,
    right_row,
    right_channel,
    rows,
    columns,
    num_rows,
    num_columns,
    CHANNELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
    DTYPE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """left right^T over all channels, block by block: [rows, columns] float32."""
    total = tl.zeros([rows.shape[0], columns.shape[0]], tl.float32)
    for start in tl.range(0, CHANNELS, BLOCK_CHANNELS):
        channels = start + tl.arange(0, BLOCK_CHANNELS)
        left_tile = load_tile(left, rows, left_row, channels, left_channel, num_rows, CHANNELS)
        right_tile = load_tile(
            right, columns, right_row, channels, right_channel, num_columns, CHANNELS
        )
        total = tl.dot(
            left_tile.to(DTYPE), tl.trans(right_tile.to(DTYPE)), total, input_precision=PRECISION
        )
    return total


@triton.jit
def load_or_one(pointer):
    """A scalar as float32; 1 where there is none."""
    if pointer is None:  # noqa: SIM108 (the compiler must not see the load)
        value = 1.0
    else:
        value = tl.load(pointer).to(tl.float32)
    return value
