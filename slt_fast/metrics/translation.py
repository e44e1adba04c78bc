"""Scores, in percent: BLEU, chrF, ROUGE-L and exact match of translations, WER of glosses.

BLEU-4, exact match and WER come with a 95 % interval, "_low" and "_high", by bootstrap over the
clips (Koehn, EMNLP 2004): what the score would be on other clips drawn as these were. What another
seed of the training would give is not in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from sacrebleu.metrics import BLEU, CHRF

_MAX_BLEU_ORDER = 4
_ROUGE_BETA = 1.2
_NUM_RESAMPLINGS = 1000
_FINAL_DOT = re.compile(r"\s*\.\s*$")

# Costs of signjoey's alignment (Camgoz et al., CVPR 2020); they decide which errors are counted.
_DELETION_COST, _INSERTION_COST, _SUBSTITUTION_COST = 3, 3, 4

_MARKER = re.compile(r"__[^_ ]*__")
_PREFIX = re.compile(r"\b(?:loc|cl)-")
_SUFFIX = re.compile(r"-PLUSPLUS\b|(?<=[A-Z])RAUM\b")
_SPELLED_GAP = re.compile(
    r"(?<![^ +])(?:([A-Z]) (?=(?:[A-Z]|NN)(?![^ +]))|(SCH|NN) (?=[A-Z](?![^ +])))"
)


def translation_scores(
    hypotheses: Sequence[str], references: Sequence[str]
) -> dict[str, float | str]:
    """Score translations against one reference each, lower-cased.

    The headline scores see a final " ." on both sides, appended where a text ends in none of . ? !,
    as the field's published scores do; the same scores without it stand under "no_dot.".

    Args:
        hypotheses: The system's sentences.
        references: The annotation file's own text, never a round trip through a vocabulary.

    Returns:
        In percent: "bleu1" to "bleu4" (cumulative, corpus level), "chrf", "rouge_l", "exact_match",
        "no_dot.bleu1" to "no_dot.rouge_l", and the intervals "bleu4_low", "bleu4_high",
        "exact_match_low" and "exact_match_high"; and sacrebleu's "signature" and "chrf_signature".

    Raises:
        ValueError: If there are no sentences, or not one hypothesis for each reference.
    """
    _check_pairs(hypotheses, references)
    bare_hypotheses, bare_references = (
        [_without_dot(text) for text in side] for side in (hypotheses, references)
    )
    dotted_hypotheses, dotted_references = (
        [_with_dot(text) for text in side] for side in (bare_hypotheses, bare_references)
    )
    bare = _scores(bare_hypotheses, bare_references)
    exact = [
        [100 * (first.split() == second.split())]
        for first, second in zip(bare_hypotheses, bare_references, strict=True)
    ]
    return {
        **_scores(dotted_hypotheses, dotted_references),
        **_bleu4_interval(dotted_hypotheses, dotted_references),
        "exact_match": float(np.mean(exact)),
        **_interval("exact_match", _resampled_sums(exact)[:, 0] / len(exact)),
        **{
            f"no_dot.{name}": score
            for name, score in bare.items()
            if not name.endswith("signature")
        },
    }


def word_error_rate(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Word error rate by signjoey's alignment (costs: deletion 3, insertion 3, substitution 4).

    PHOENIX-2014-T glosses are scored after `clean_phoenix_gloss`, on both sides.

    Args:
        hypotheses: Recognised gloss lines.
        references: True gloss lines.

    Returns:
        "wer", its interval "wer_low" and "wer_high", and its parts "deletions", "insertions" and
        "substitutions", in percent of the reference words.

    Raises:
        ValueError: If there are no reference words, or not one hypothesis for each reference.
    """
    _check_pairs(hypotheses, references)
    lengths = [len(reference.split()) for reference in references]
    if not any(lengths):
        raise ValueError("word error rate: found empty references; expected at least one word")
    errors = [
        _align(first.split(), second.split())
        for first, second in zip(hypotheses, references, strict=True)
    ]
    rates = [100 * sum(counts) / sum(lengths) for counts in zip(*errors, strict=True)]
    statistics = [[sum(counts), length] for counts, length in zip(errors, lengths, strict=True)]
    num_errors, num_words = _resampled_sums(statistics).T
    defined = num_words > 0
    return {
        "wer": sum(rates),
        **_interval("wer", 100 * num_errors[defined] / num_words[defined]),
        **dict(zip(("deletions", "insertions", "substitutions"), rates, strict=True)),
    }


def clean_phoenix_gloss(line: str) -> str:
    """Normalise a PHOENIX-2014-T gloss line as the data set's evaluation does.

    Markers such as __EMOTION__ go, and so do "loc-", "cl-", "-PLUSPLUS" and a final RAUM;
    WIE AUSSEHEN becomes one gloss, spelled letters are joined by "+", and repeated neighbours are
    merged. The evaluation misses spelled letters in some places, such as the ends of a line; here
    all are joined.
    """
    tokens = (_SUFFIX.sub("", _PREFIX.sub("", _MARKER.sub("", token))) for token in line.split())
    joined = " ".join(token for token in tokens if token).replace("WIE AUSSEHEN", "WIE-AUSSEHEN")
    spelled = _SPELLED_GAP.sub(r"\1\2+", joined)
    return " ".join(token for token, _ in groupby(spelled.split()))


def most_common_share(hypotheses: Sequence[str]) -> float:
    """Share (0 to 1) of the most common output; past one half, it hardly looks at its input.

    Raises:
        ValueError: If there are no hypotheses.
    """
    if not hypotheses:
        raise ValueError("most common share: found no hypotheses; expected at least one")
    return Counter(hypotheses).most_common(1)[0][1] / len(hypotheses)


def _check_pairs(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise ValueError("scores: found one string; expected a list of sentences")
    if not references or len(hypotheses) != len(references):
        found = f"{len(hypotheses)} hypotheses and {len(references)} references"
        raise ValueError(f"scores: found {found}; expected as many of each, and at least one")


def _without_dot(text: str) -> str:
    return _FINAL_DOT.sub("", text.lower())


def _with_dot(bare: str) -> str:
    return bare if bare.rstrip().endswith(("?", "!")) else f"{bare} ."


def _scores(hypotheses: list[str], references: list[str]) -> dict[str, float | str]:
    # force: the texts are tokenised, which sacrebleu would warn of.
    bleu, chrf = BLEU(lowercase=True, force=True), CHRF(lowercase=True)
    counts = bleu.corpus_score(hypotheses, [references])
    scores: dict[str, float | str] = {}
    for order in range(1, _MAX_BLEU_ORDER + 1):
        scores[f"bleu{order}"] = _bleu(
            counts.counts, counts.totals, counts.sys_len, counts.ref_len, order
        )
    scores["signature"] = str(bleu.get_signature())
    scores["chrf"] = chrf.corpus_score(hypotheses, [references]).score
    scores["chrf_signature"] = str(chrf.get_signature())
    rouge = [
        _rouge_l(first.split(), second.split())
        for first, second in zip(hypotheses, references, strict=True)
    ]
    scores["rouge_l"] = 100 * sum(rouge) / len(rouge)
    return scores


def _bleu(
    counts: list[int],
    totals: list[int],
    hypothesis_length: int,
    reference_length: int,
    order: int = _MAX_BLEU_ORDER,
) -> float:
    """Cumulative BLEU from n-gram counts, smoothed as BLEU() does."""
    return BLEU.compute_bleu(
        counts,
        totals,
        hypothesis_length,
        reference_length,
        smooth_method="exp",
        max_ngram_order=order,
    ).score


def _bleu4_interval(hypotheses: list[str], references: list[str]) -> dict[str, float]:
    bleu = BLEU(lowercase=True, force=True)
    counts = [
        bleu.corpus_score([first], [[second]])
        for first, second in zip(hypotheses, references, strict=True)
    ]
    sums = _resampled_sums([[*c.counts, *c.totals, c.sys_len, c.ref_len] for c in counts]).tolist()
    return _interval("bleu4", [_bleu(row[:4], row[4:8], *row[8:]) for row in sums])


def _resampled_sums(statistics: Sequence[Sequence[int]]) -> np.ndarray:
    """Sums over as many clips drawn with replacement, again and again.

    Args:
        statistics: K numbers of each clip.

    Returns:
        [_NUM_RESAMPLINGS, K]; the same draws whenever there are as many clips.
    """
    N = len(statistics)
    draws = np.random.default_rng(0).multinomial(N, np.full(N, 1 / N), _NUM_RESAMPLINGS)
    return draws @ np.array(statistics)


def _interval(name: str, scores: Sequence[float] | np.ndarray) -> dict[str, float]:
    low, high = np.percentile(scores, (2.5, 97.5))
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def _rouge_l(hypothesis: list[str], reference: list[str]) -> float:
    """F score of the longest common subsequence, as in mscoco's caption evaluation (Lin, 2004)."""
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


def _align(hypothesis: list[str], reference: list[str]) -> tuple[int, int, int]:
    """(deletions, insertions, substitutions) of the cheapest alignment.

    A match is always taken; of equal costs, substitution goes before insertion before deletion.
    """
    # (cost, deletions, insertions, substitutions) of each prefix of the hypothesis
    row = [(_INSERTION_COST * length, 0, length, 0) for length in range(len(hypothesis) + 1)]
    for word in reference:
        above, row = row, [_deleted(row[0])]
        for column, other in enumerate(hypothesis, start=1):
            if word == other:
                row.append(above[column - 1])
                continue
            cost, deletions, insertions, substitutions = above[column - 1]
            substituted = (cost + _SUBSTITUTION_COST, deletions, insertions, substitutions + 1)
            cost, deletions, insertions, substitutions = row[-1]
            inserted = (cost + _INSERTION_COST, deletions, insertions + 1, substitutions)
            row.append(
                min(substituted, inserted, _deleted(above[column]), key=lambda path: path[0])
            )
    return row[-1][1:]


def _deleted(path: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    cost, deletions, insertions, substitutions = path
    return cost + _DELETION_COST, deletions + 1, insertions, substitutions
