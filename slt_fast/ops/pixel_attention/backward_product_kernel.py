"""Backward kernel of pixel attention: a workspace of dS times narrow queries or keys.

dK = dS^T Q * scale, and dQ = (dS^T)^T K * scale if the workspace holds dS^T. The formulas are in
backward_whole_map_kernel.py.
"""

from __future__ import annotations

import triton
import triton.language as tl

from slt_fast.ops.pixel_attention.tiles import (
    add_product,
    load_or_one,
    load_tile,
    matrix_of,
    store_tile,
)


@triton.jit
def transposed_product_kernel(
    left, right, gamma, out, heads, num_rows, num_columns, scale,
    DK: tl.constexpr, BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
    BLOCK_DK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Computes out = left^T right * scale * gamma for a block of rows of out.

    left is [B, heads, num_columns, num_rows] with rows padded to their stride, which is a multiple
    of 64; right is [B, heads, num_columns, DK].
    """
    program = tl.program_id(0)
    row_blocks = tl.cdiv(num_rows, BLOCK_ROWS)
    rows = program % row_blocks * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    map_index = program // row_blocks
    b, head = map_index // heads, map_index % heads
    channels = tl.arange(0, BLOCK_DK)
    left_matrix, right_matrix = matrix_of(left, b, head), matrix_of(right, b, head)
    total = tl.zeros([BLOCK_ROWS, BLOCK_DK], tl.float32)
    for start in tl.range(0, num_columns, BLOCK_COLUMNS):
        columns = start + tl.arange(0, BLOCK_COLUMNS)
        left_tile = load_tile(left_matrix, columns, rows, num_columns, left_matrix[1])
        right_tile = load_tile(right_matrix, columns, channels, num_columns, DK)
        total = add_product(total, tl.trans(left_tile), right_tile, PRECISION)
    total *= scale * load_or_one(gamma)
    store_tile(matrix_of(out, b, head), total, rows, channels, num_rows, DK)
