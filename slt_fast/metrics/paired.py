"""Whether two systems differ by more than chance: sacrebleu's paired test, with ties counted."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sacrebleu.metrics import CHRF
from sacrebleu.metrics.base import Metric

from slt_fast.metrics.translation import prepared, sacrebleu_of

_NUM_TRIALS, _SEED = 10_000, 12345  # sacrebleu's
_ROUNDING = 1e-9  # percent: sums in another order are the same difference


class Difference(NamedTuple):
    """A score of two systems."""

    first: float
    second: float
    p_value: float  # probability of a difference at least so large if the systems were equal
    signature: str  # sacrebleu's


def paired_test(
    first: Sequence[str], second: Sequence[str], references: Sequence[str]
) -> dict[str, Difference]:
    """Compares two systems by approximate randomisation (Riezler and Maxwell, 2005).

    In each of 10,000 trials the translations of a sentence are swapped by chance, by the same draws
    as in sacrebleu. Its own test counts the trials with a larger difference, and none with the
    same: of equal systems, or of those that differ in spaces only, it says that they differ, and
    where few sentences differ its p-values are too small. Without ties they are the same.

    Args:
        first: Sentences of one system.
        second: Sentences of the other.
        references: Text of the annotation file.

    Returns:
        "bleu4" and "chrf", with a final dot as in translation_scores.

    Raises:
        ValueError: There are no sentences, or not one of each system for each reference.
    """
    ours, theirs = prepared(first, references), prepared(second, references)
    metrics = {"bleu4": sacrebleu_of(ours.tokenizer), "chrf": CHRF(lowercase=True)}
    systems, true = (ours.dotted[0], theirs.dotted[0]), ours.dotted[1]
    is_swapped = np.random.default_rng(_SEED).integers(2, size=(_NUM_TRIALS, len(true)), dtype=bool)
    return {name: _tested(metric, systems, true, is_swapped) for name, metric in metrics.items()}


def _tested(
    metric: Metric,
    systems: tuple[Sequence[str], Sequence[str]],
    references: Sequence[str],
    is_swapped: np.ndarray,
) -> Difference:
    """Tests one score; is_swapped [trials, sentences]."""
    # What sacrebleu's own test does; nothing public gives the statistics of sentences.
    one, other = (
        np.array(metric._extract_corpus_statistics(system, [references])) for system in systems
    )
    total = one.sum(0) + other.sum(0)
    mixed = one.sum(0) + is_swapped @ (other - one)
    scores = [_score(metric, one.sum(0)), _score(metric, other.sum(0))]
    found = [abs(_score(metric, row) - _score(metric, total - row)) for row in mixed]
    as_large = np.sum(np.array(found) >= abs(scores[0] - scores[1]) - _ROUNDING)
    p_value = (int(as_large) + 1) / (_NUM_TRIALS + 1)
    signature = metric.get_signature()
    signature.update("ar", _NUM_TRIALS)
    signature.update("seed", _SEED)
    return Difference(scores[0], scores[1], p_value, str(signature))


def _score(metric: Metric, statistics: np.ndarray) -> float:
    return metric._compute_score_from_stats(statistics.tolist()).score
