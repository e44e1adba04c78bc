"""Scores of translated sentences."""

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.metrics.bleu import BLEUScore

from slt_fast.metrics.score import Score, check_pairs, interval, resampled_sums

logger = logging.getLogger(__name__)

_ROUGE_BETA = 1.2
# Thai, Lao, Tibetan, Burmese, Khmer, Japanese, Chinese
_WITHOUT_SPACES = re.compile(
    "[\u0e01-\u0eff\u0f40-\u0fff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
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
    dotted, bare, tokenizer = prepared(hypotheses, references)
    scores = _scores(*dotted, tokenizer=tokenizer)
    bounds = _bleu4_interval(*dotted, tokenizer=tokenizer)
    scores["bleu4"] = replace(scores["bleu4"], interval=bounds)
    of_bare = _scores(*bare, tokenizer=tokenizer)
    no_dot = {f"no_dot.{name}": Score(score.value) for name, score in of_bare.items()}
    return {**scores, "exact_match": _exact_match(*bare), **no_dot}


class Prepared(NamedTuple):
    """Hypotheses and references as they are scored, twice."""

    dotted: tuple[list[str], list[str]]  # with a final dot
    bare: tuple[list[str], list[str]]
    tokenizer: str  # sacrebleu's name


def prepared(hypotheses: Sequence[str], references: Sequence[str]) -> Prepared:
    """Returns sentences in lower case with and without a final dot, and how they are split.

    Raises:
        ValueError: There are no sentences, or not one hypothesis for each reference.
    """
    check_pairs(hypotheses, references)
    tokenizer = _tokenizer(references)
    bare = [[_without_dot(text) for text in side] for side in (hypotheses, references)]
    dotted = [[_with_dot(text) for text in side] for side in bare]
    if tokenizer == "char":
        bare = dotted = [[" ".join(_units(text, tokenizer)) for text in side] for side in bare]
    return Prepared((dotted[0], dotted[1]), (bare[0], bare[1]), tokenizer)


def quick_score(name: str, hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Returns "bleu4" or "exact_match" as translation_scores does, and nothing else.

    Raises:
        ValueError: Another name, no sentences, or not one hypothesis for each reference.
    """
    dotted, bare, tokenizer = prepared(hypotheses, references)
    if name == "exact_match":
        return _exact_match(*bare).value
    if name != "bleu4":
        raise ValueError(f"quick_score: found {name!r}; expected bleu4 or exact_match")
    return sacrebleu_of(tokenizer).corpus_score(dotted[0], [dotted[1]]).score


def deciding_score(references: Sequence[str]) -> str:
    """Returns the score that tells models apart on these texts: "bleu4" or "exact_match".

    BLEU-4 counts no match at all if every text is shorter than four tokens.
    """
    tokenizer = _tokenizer(references)
    is_short = all(len(_units(text, tokenizer)) < 4 for text in references)
    return "exact_match" if is_short else "bleu4"


def most_common_share(hypotheses: Sequence[str]) -> float:
    """Returns the share (0 to 1) of the most common output; past 0.5, input hardly matters.

    Raises:
        ValueError: There are no hypotheses.
    """
    if not hypotheses:
        raise ValueError("most common share: found no hypotheses; expected at least one")
    return Counter(hypotheses).most_common(1)[0][1] / len(hypotheses)


def warn_of_repeats(hypotheses: Sequence[str], name: str) -> None:
    """Logs a warning if more than half of some sentences are empty, or are the same sentence.

    Args:
        hypotheses: Sentences of the system; a single one is no repeat.
        name: What they are, for the warning.
    """
    num_empty = sum(not text.strip() for text in hypotheses)
    if 2 * num_empty > len(hypotheses):
        logger.warning("more than half of the %s are empty", name)
    elif len(hypotheses) > 1 and most_common_share(hypotheses) > 0.5:
        logger.warning("more than half of the %s are the same sentence", name)


def _without_dot(text: str) -> str:
    return _FINAL_DOT.sub("", unicodedata.normalize("NFC", text.lower()))


def _tokenizer(references: Sequence[str]) -> str:
    """Names sacrebleu's tokenizer: characters, if most letters are of scripts without spaces."""
    text = "".join(references)
    num_letters = sum(character.isalpha() for character in text)
    return "char" if 2 * len(_WITHOUT_SPACES.findall(text)) > num_letters else "13a"


def _units(text: str, tokenizer: str) -> list[str]:
    return list("".join(text.split())) if tokenizer == "char" else text.split()


def _with_dot(bare: str) -> str:
    return bare if bare.rstrip().endswith(("?", "!")) else f"{bare} ."


def _scores(hypotheses: list[str], references: list[str], *, tokenizer: str) -> dict[str, Score]:
    bleu, chrf = sacrebleu_of(tokenizer), CHRF(lowercase=True)
    counts = _counts(bleu.corpus_score(hypotheses, [references]))
    scores = {f"bleu{order}": Score(_bleu(order, counts)) for order in (1, 2, 3, 4)}
    scores["bleu4"] = replace(scores["bleu4"], signature=str(bleu.get_signature()))
    value = chrf.corpus_score(hypotheses, [references]).score
    scores["chrf"] = Score(value, signature=str(chrf.get_signature()))
    rouge = [
        rouge_l(first.split(), second.split())
        for first, second in zip(hypotheses, references, strict=True)
    ]
    return {**scores, "rouge_l": Score(100 * sum(rouge) / len(rouge))}


def sacrebleu_of(tokenizer: str) -> BLEU:
    """Returns sacrebleu's BLEU-4 in lower case."""
    # force: it would warn of tokenised texts
    return BLEU(lowercase=True, tokenize=tokenizer, force=True)


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


def _bleu4_interval(
    hypotheses: list[str], references: list[str], *, tokenizer: str
) -> tuple[float, float]:
    bleu = sacrebleu_of(tokenizer)
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


def rouge_l(hypothesis: list[str], reference: list[str]) -> float:
    """Computes the F score (0 to 1) of the longest common subsequence (Lin, 2004).

    It is that of mscoco's captions, with beta 1.2.
    """
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
