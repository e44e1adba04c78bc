"""A score with its interval, by bootstrap over the clips, and its signature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_NUM_RESAMPLINGS = 1000


@dataclass(frozen=True)
class Score:
    """A score in percent, with the ends of its 95 % interval and sacrebleu's signature if any."""

    value: float
    interval: tuple[float, float] | None = None
    signature: str | None = None


def flat_scores(scores: Mapping[str, Score]) -> dict[str, float | str]:
    """Returns scores as the flat keys of metrics.json, such as bleu4, bleu4_low and bleu4_high."""
    flat: dict[str, float | str] = {}
    for name, score in scores.items():
        flat[name] = score.value
        if score.interval:
            flat[f"{name}_low"], flat[f"{name}_high"] = score.interval
        if score.signature:
            # BLEU's is the one that people cite.
            flat["signature" if name == "bleu4" else f"{name}_signature"] = score.signature
    return flat


def check_pairs(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """Raises ValueError if there is nothing to score, or not one hypothesis for each reference."""
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise ValueError("scores: found one string; expected a list of sentences")
    if not references or len(hypotheses) != len(references):
        found = f"{len(hypotheses)} hypotheses and {len(references)} references"
        raise ValueError(f"scores: found {found}; expected as many of each, and at least one")


def resampled_sums(statistics: Sequence[Sequence[int]]) -> np.ndarray:
    """Sums the K statistics of clips drawn with replacement: [_NUM_RESAMPLINGS, K].

    The draws depend on nothing but the number of clips.
    """
    N = len(statistics)
    draws = np.random.default_rng(0).multinomial(N, np.full(N, 1 / N), _NUM_RESAMPLINGS)
    return draws @ np.array(statistics)


def interval(scores: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Returns the ends of the interval that holds 95 % of the resampled scores."""
    low, high = np.percentile(scores, (2.5, 97.5))
    return float(low), float(high)
