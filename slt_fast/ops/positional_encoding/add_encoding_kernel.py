"""The kernel that adds one encoding to many maps, each a flat run of values."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def add_encoding_kernel(
    x, encoding, out, B, size, x_stride, BLOCK: tl.constexpr, MAPS: tl.constexpr
):
    """Computes out[b, i] = x[b, i] + encoding[i] for a block of i and a group of b.

    The block of the encoding stays in registers. Indexing encoding[i % size] over one run of all
    values would need 2-byte loads, because the compiler cannot see that values are adjacent.
    """
    program = tl.program_id(0)
    blocks = tl.cdiv(size, BLOCK)
    i = program % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = i < size
    added = tl.load(encoding + i, mask=inside, other=0.0).to(tl.float32)
    first = (program // blocks).to(tl.int64) * MAPS
    for step in tl.static_range(MAPS):
        b = first + step
        mask = inside & (b < B)
        total = tl.load(x + b * x_stride + i, mask=mask, other=0.0).to(tl.float32) + added
        tl.store(out + b * size + i, total.to(out.dtype.element_ty), mask=mask)
