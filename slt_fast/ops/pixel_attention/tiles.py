"""Shared by the attention kernels: tiles of strided matrices, and products of them.

A tensor [B, heads, N, channels] enters a kernel as the tuple (pointer, batch stride, head stride,
position stride, channel stride). Kernels work on the matrix [N, channels] of one map of one head:
the tuple (pointer, row stride, column stride). Offsets are int64, because a map may be a small
window into a large tensor.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def matrix_of(tensor, b, head):
    """Returns the matrix of a batch entry and head; None if the tensor is None."""
    if tensor is None:
        matrix = None
    else:
        start = tensor[0] + b.to(tl.int64) * tensor[1] + head.to(tl.int64) * tensor[2]
        matrix = (start, tensor[3], tensor[4])
    return matrix


@triton.jit
def transposed(matrix):
    """Returns the transposed matrix; None if the matrix is None."""
    if matrix is None:  # noqa: SIM108 (the compiler must not see the strides)
        result = None
    else:
        result = (matrix[0], matrix[2], matrix[1])
    return result


@triton.jit
def load_tile(matrix, rows, columns, num_rows, num_columns):
    """Loads the tile [rows, columns]; zero outside the matrix."""
    mask = (rows < num_rows)[:, None] & (columns < num_columns)[None, :]
    offsets = rows.to(tl.int64)[:, None] * matrix[1]
    offsets += columns.to(tl.int64)[None, :] * matrix[2]
    return tl.load(matrix[0] + offsets, mask=mask, other=0.0)


@triton.jit
def store_tile(matrix, tile, rows, columns, num_rows, num_columns):
    """Stores the part of a tile that is inside the matrix, in the type of the matrix."""
    mask = (rows < num_rows)[:, None] & (columns < num_columns)[None, :]
    offsets = rows.to(tl.int64)[:, None] * matrix[1]
    offsets += columns.to(tl.int64)[None, :] * matrix[2]
    tl.store(matrix[0] + offsets, tile.to(matrix[0].dtype.element_ty), mask=mask)


@triton.jit
def score_tile(left, right, bias, rows, columns, num_rows, num_columns, scale, PRECISION):
    """Computes left right^T * scale + bias (a matrix or None); -inf outside columns."""
    product = tl.dot(left, tl.trans(right), input_precision=PRECISION)
    return scores_of(product, bias, rows, columns, num_rows, num_columns, scale)


@triton.jit
def scores_of(product, bias, rows, columns, num_rows, num_columns, scale):
    """Computes product * scale + bias (a matrix or None); -inf outside columns."""
    scores = product * scale
    if bias is not None:
        scores += load_tile(bias, rows, columns, num_rows, num_columns).to(tl.float32)
    return tl.where((columns < num_columns)[None, :], scores, float("-inf"))


@triton.jit
def add_product(total, left, right, PRECISION: tl.constexpr, factor=None):
    """Computes total + left right, or total * factor[:, None] + left right.

    Exact float32 is summed in two levels: the product on its own, then the total. One chain of
    additions over all blocks would lose digits. Not total + product, which the compiler folds into
    one chain again.
    """
    if left.dtype == tl.float32 and PRECISION == "ieee":
        product = tl.dot(left, right, input_precision=PRECISION)
        if factor is None:
            factors = tl.full(total.shape, 1.0, tl.float32)
        else:
            factors = tl.broadcast_to(factor[:, None], total.shape)
        total = tl.fma(total, factors, product)
    else:
        if factor is not None:
            total = total * factor[:, None]
        total = tl.dot(left, right, total, input_precision=PRECISION)
    return total


@triton.jit
def exponential(x):
    """Computes e^x. For differences only: log2 e times a large score loses its last digits."""
    return tl.exp2(x * LOG2_E)


@triton.jit
def store_row_statistics(pointer, map_index, rows, Nq, row_max, row_sum):
    """Stores each row's maximum and 1 / its sum of exponentials, [B, heads, 2, Nq] float32.

    They turn scores into weights. The log-sum-exp, one number instead of two, would lose the last
    digits of large scores.
    """
    row = pointer + map_index.to(tl.int64) * 2 * Nq + rows
    tl.store(row, row_max, mask=rows < Nq)
    tl.store(row + Nq, 1.0 / row_sum, mask=rows < Nq)


@triton.jit
def load_row_statistics(pointer, map_index, rows, Nq):
    """Loads the maximum and the factor of each row; 0 outside, so those rows have no weights."""
    row = pointer + map_index.to(tl.int64) * 2 * Nq + rows
    row_max = tl.load(row, mask=rows < Nq, other=0.0)
    return row_max, tl.load(row + Nq, mask=rows < Nq, other=0.0)


@triton.jit
def channel_product(
    left, right, rows, columns, num_rows, num_columns,
    CHANNELS: tl.constexpr, BLOCK_CHANNELS: tl.constexpr,
    DTYPE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Computes left right^T over all channels, block by block: [rows, columns] float32."""
    total = tl.zeros([rows.shape[0], columns.shape[0]], tl.float32)
    for start in tl.range(0, CHANNELS, BLOCK_CHANNELS):
        channels = start + tl.arange(0, BLOCK_CHANNELS)
        left_tile = load_tile(left, rows, channels, num_rows, CHANNELS).to(DTYPE)
        right_tile = load_tile(right, columns, channels, num_columns, CHANNELS).to(DTYPE)
        total = add_product(total, left_tile, tl.trans(right_tile), PRECISION)
    return total


@triton.jit
def load_or_one(pointer):
    """Loads a scalar as float32; 1 if there is none."""
    if pointer is None:  # noqa: SIM108 (the compiler must not see the load)
        value = 1.0
    else:
        value = tl.load(pointer).to(tl.float32)
    return value
