"""Scores of single sentences, to find those that a system gets wrong."""

from collections.abc import Sequence

from sacrebleu.metrics import BLEU, CHRF

from slt_fast.metrics.glosses import alignment_errors
from slt_fast.metrics.score import check_pairs
from slt_fast.metrics.translation import prepared, rouge_l

Row = dict[str, float]


def sentence_scores(hypotheses: Sequence[str], references: Sequence[str]) -> list[Row]:
    """Scores each translation by itself; means of these are not the scores of all of them.

    Returns:
        For each sentence "bleu4" (sacrebleu's sentence level, of the orders that it has), "chrf"
        and "rouge_l", in percent.

    Raises:
        ValueError: There are no sentences, or not one hypothesis for each reference.
    """
    (said, true), _, tokenizer = prepared(hypotheses, references)
    bleu = BLEU(lowercase=True, tokenize=tokenizer, force=True, effective_order=True)
    chrf = CHRF(lowercase=True)
    return [
        {
            "bleu4": bleu.sentence_score(first, [second]).score,
            "chrf": chrf.sentence_score(first, [second]).score,
            "rouge_l": 100 * rouge_l(first.split(), second.split()),
        }
        for first, second in zip(said, true, strict=True)
    ]


def sentence_errors(hypotheses: Sequence[str], references: Sequence[str]) -> list[Row]:
    """Counts the errors of each gloss line, as word_error_rate does.

    Returns:
        For each line the numbers "deletions", "insertions", "substitutions" and "glosses".

    Raises:
        ValueError: There are no lines, or not one hypothesis for each reference.
    """
    check_pairs(hypotheses, references)
    names = ("deletions", "insertions", "substitutions")
    rows = []
    for first, second in zip(hypotheses, references, strict=True):
        counts = alignment_errors(first.split(), second.split())
        row: Row = dict(zip(names, counts, strict=True))
        rows.append(row | {"glosses": len(second.split())})
    return rows
