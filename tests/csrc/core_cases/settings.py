"""Cases of settings.h."""

import numpy as np

from tests.csrc.core_cases.case import (
    Case,
    Columns,
    every,
)


def levels(heights, widths, finest_levels) -> Columns:
    """Computes the levels in integers: q is the largest with longer / 32 >= 2^(q - 1/2)."""
    found = []
    for height, width, finest in zip(heights, widths, finest_levels, strict=True):
        deepest = (int(min(height, width)) // 8).bit_length() - 1
        longer = int(max(height, width))
        quarter = max(q for q in range(-4, 20) if longer**2 * 2 >= 32**2 * 4.0**q)
        finest = min(finest, deepest)
        found.append((finest, max(finest, min(quarter, deepest))))
    return tuple(np.array(found).T)


SIDES = [8, 9, 15, 16, 17, 22, 23, 31, 32, 45, 46, 63, 64, 90, 91, 181, 182, 724, 725, 32767]
CASES = {
    "levels_of": Case(every(SIDES, SIDES, [0, 1, 2, 5, 17]), levels, 0),
    "patches_along": Case(
        every(list(range(8, 60)), list(range(1, 9))),
        lambda lengths, strides: (
            np.array(
                [len(range(0, int(n) - 7, int(s))) for n, s in zip(lengths, strides, strict=True)]
            ),
        ),
        0,
    ),
}
