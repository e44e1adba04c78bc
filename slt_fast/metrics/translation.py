"""Scores of translated sentences."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.metrics.bleu import BLEUScore

from slt_fast.metrics.score import Score, check_pairs, interval, resampled_sums

_ROUGE_BETA = 1.2
_FINAL_DOT = re.compile(r"\s*\.\s*$")


def translation_scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Score]:
    """Scores translations against one reference each, in lower case.

    The headline scores see a final " ." on both sides, as the field's published scores do. It is
    appended to texts that end in none of . ? !; the same scores without it are named "no_dot.".

    Args:
        hypotheses: Sentences of the system.
        references: Text of the annotation file, never a round trip through a vocabulary.

    Returns:
        "bleu1" to "bleu4" (cumulative, corpus level), "chrf", "rouge_l", "exact_match", and
        "no_dot.bleu1" to "no_dot.rouge_l".

    Raises:
        ValueError: There are no sentences, or not one hypothesis for each reference.
    """
    check_pairs(hypotheses, references)
    bare = [[_without_dot(text) for text in side] for side in (hypotheses, references)]
    dotted = [[_with_dot(text) for text in side] for side in bare]
    scores = _scores(*dotted)
    scores["bleu4"] = replace(scores["bleu4"], interval=_bleu4_interval(*dotted))
    return {
        **scores,
        "exact_match": _exact_match(*bare),
        **{f"no_dot.{name}": Score(score.value) for name, score in _scores(*bare).items()},
    }


def most_common_share(hypotheses: Sequence[str]) -> float:
    """Returns the share (0 to 1) of the most common output; past 0.5, input hardly matters.

    Raises:
        ValueError: There are no hypotheses.
    """
    if not hypotheses:
        raise ValueError("most common share: found no hypotheses; expected at least one")
    return Counter(hypotheses).most_common(1)[0][1] / len(hypotheses)


def _without_dot(text: str) -> str:
    return _FINAL_DOT.sub("", text.lower())


def _with_dot(bare: str) -> str:
    return bare if bare.rstrip().endswith(("?", "!")) else f"{bare} ."


def _scores(hypotheses: list[str], references: list[str]) -> dict[str, Score]:
    bleu, chrf = _sacrebleu(), CHRF(lowercase=True)
    counts = _counts(bleu.corpus_score(hypotheses, [references]))
    scores = {f"bleu{order}": Score(_bleu(order, counts)) for order in (1, 2, 3, 4)}
    scores["bleu4"] = replace(scores["bleu4"], signature=str(bleu.get_signature()))
    value = chrf.corpus_score(hypotheses, [references]).score
    scores["chrf"] = Score(value, signature=str(chrf.get_signature()))
    rouge = [
        _rouge_l(first.split(), second.split())
        for first, second in zip(hypotheses, references, strict=True)
    ]
    return {**scores, "rouge_l": Score(100 * sum(rouge) / len(rouge))}


def _sacrebleu() -> BLEU:
    return BLEU(lowercase=True, force=True)  # force: it would warn of tokenised texts


_Counts = tuple[list[int], list[int], int, int]


def _counts(score: BLEUScore) -> _Counts:
    """Returns the n-grams in common, all n-grams, and both lengths."""
    return score.counts, score.totals, score.sys_len, score.ref_len


def _bleu(order: int, counts: _Counts) -> float:
    """Computes cumulative BLEU from counts, smoothed as BLEU() does."""
    common, all_, *lengths = counts
    return BLEU.compute_bleu(
        common, all_, lengths[0], lengths[1], smooth_method="exp", max_ngram_order=order
    ).score


def _bleu4_interval(hypotheses: list[str], references: list[str]) -> tuple[float, float]:
    bleu = _sacrebleu()
    clips = [
        _counts(bleu.corpus_score([first], [[second]]))
        for first, second in zip(hypotheses, references, strict=True)
    ]
    sums = resampled_sums([[*common, *all_, *lengths] for common, all_, *lengths in clips])
    return interval([_bleu(4, (row[:4], row[4:8], row[8], row[9])) for row in sums.tolist()])


def _exact_match(hypotheses: list[str], references: list[str]) -> Score:
    exact = [
        [100 * (first.split() == second.split())]
        for first, second in zip(hypotheses, references, strict=True)
    ]
    return Score(float(np.mean(exact)), interval(resampled_sums(exact)[:, 0] / len(exact)))


def _rouge_l(hypothesis: list[str], reference: list[str]) -> float:
    """Computes the F score of the longest common subsequence (Lin, 2004), as mscoco captions do."""
    lengths = [0] * (len(hypothesis) + 1)
    for word in reference:
        diagonal = 0
        for column, other in enumerate(hypothesis, start=1):
            above = lengths[column]
            lengths[column] = diagonal + 1 if word == other else max(above, lengths[column - 1])
            diagonal = above
    if not lengths[-1]:
        return 0.0
    precision, recall = lengths[-1] / len(hypothesis), lengths[-1] / len(reference)
    return (1 + _ROUGE_BETA**2) * precision * recall / (recall + _ROUGE_BETA**2 * precision)
