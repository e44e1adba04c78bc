"""Sums over the first dimension of two tensors, in an order that depends on sizes only.

Each value is read once, by many programs, and results repeat to the bit without atomics.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sum_kernel(
    left, left_sums, left_rounded, right, right_sums,
    left_terms, left_size, num_columns, right_terms, right_size,
    BLOCK: tl.constexpr, BLOCK_TERMS: tl.constexpr,
):  # fmt: skip
    """Sums left [left_terms, left_size] and right [right_terms, right_size] over their terms.

    left, right and the sums are contiguous. left_rounded is a matrix (pointer, row stride, column
    stride) of left_size entries and num_columns columns, which gets the same sums in its own type.
    Each tensor may be None.
    """
    program = tl.program_id(0)
    left_blocks = tl.cdiv(left_size, BLOCK)
    if program < left_blocks:
        if left is not None:
            i = program.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
            total = _sums(left, i, left_terms, left_size, BLOCK_TERMS)
            if left_sums is not None:
                tl.store(left_sums + i, total.to(left_sums.dtype.element_ty), mask=i < left_size)
            if left_rounded is not None:
                offsets = i // num_columns * left_rounded[1] + i % num_columns * left_rounded[2]
                rounded = total.to(left_rounded[0].dtype.element_ty)
                tl.store(left_rounded[0] + offsets, rounded, mask=i < left_size)
    else:
        if right is not None:
            i = (program - left_blocks).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
            total = _sums(right, i, right_terms, right_size, BLOCK_TERMS)
            tl.store(right_sums + i, total.to(right_sums.dtype.element_ty), mask=i < right_size)


@triton.jit
def _sums(values, i, num_terms, size, BLOCK_TERMS: tl.constexpr):
    """Computes the sum of values[term, i] over the terms, in float32."""
    steps = tl.arange(0, BLOCK_TERMS)
    total = tl.zeros([BLOCK_TERMS, i.shape[0]], tl.float32)
    for start in tl.range(0, num_terms, BLOCK_TERMS):
        terms = start + steps
        mask = (terms < num_terms)[:, None] & (i < size)[None, :]
        offsets = terms.to(tl.int64)[:, None] * size + i[None, :]
        total += tl.load(values + offsets, mask=mask, other=0.0).to(tl.float32)
    return tl.sum(total, 0)
