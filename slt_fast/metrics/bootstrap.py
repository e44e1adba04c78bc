"""Bootstrap over the clips: what a score would be on other clips drawn like these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_NUM_RESAMPLINGS = 1000


def resampled_sums(statistics: Sequence[Sequence[int]]) -> np.ndarray:
    """Sums the statistics of as many clips, drawn with replacement, again and again.

    Args:
        statistics: K numbers for each clip.

    Returns:
        [_NUM_RESAMPLINGS, K]; the draws depend on nothing but the number of clips.
    """
    N = len(statistics)
    draws = np.random.default_rng(0).multinomial(N, np.full(N, 1 / N), _NUM_RESAMPLINGS)
    return draws @ np.array(statistics)


def interval(scores: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Returns the ends of the interval that holds 95 % of the resampled scores."""
    low, high = np.percentile(scores, (2.5, 97.5))
    return float(low), float(high)
