"""Word error rate of gloss lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from slt_fast.errors import UserError
from slt_fast.metrics.score import Score, check_pairs, interval, resampled_sums


class Costs(NamedTuple):
    """Costs of the errors of an alignment; the cheapest alignment's errors are counted."""

    deletion: int
    insertion: int
    substitution: int


SIGNJOEY_COSTS = Costs(3, 3, 4)  # Camgoz et al., CVPR 2020

_MARKER = re.compile(r"__[^_ ]*__")
_PREFIX = re.compile(r"\b(?:loc|cl)-")
_SUFFIX = re.compile(r"-PLUSPLUS\b|(?<=[A-Z])RAUM\b")
_SPELLED_GAP = re.compile(
    r"(?<![^ +])(?:([A-Z]) (?=(?:[A-Z]|NN)(?![^ +]))|(SCH|NN) (?=[A-Z](?![^ +])))"
)


def word_error_rate(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Score]:
    """Computes the word error rate by signjoey's alignment.

    It costs 3 to delete, 3 to insert and 4 to substitute a gloss. PHOENIX-2014-T glosses are scored
    after `clean_phoenix_gloss` on both sides.

    Args:
        hypotheses: Recognised gloss lines.
        references: True gloss lines.

    Returns:
        "wer" with its interval, and its parts "deletions", "insertions" and "substitutions", in
        percent of the reference glosses.

    Raises:
        UserError: There is no reference gloss.
        ValueError: There is not one hypothesis for each reference.
    """
    check_pairs(hypotheses, references)
    lengths = [len(reference.split()) for reference in references]
    if not any(lengths):
        raise UserError("word error rate: found empty references; expected at least one word")
    errors = [
        alignment_errors(first.split(), second.split())
        for first, second in zip(hypotheses, references, strict=True)
    ]
    rates = [100 * sum(counts) / sum(lengths) for counts in zip(*errors, strict=True)]
    statistics = [[sum(counts), length] for counts, length in zip(errors, lengths, strict=True)]
    num_errors, num_words = resampled_sums(statistics).T
    defined = num_words > 0
    parts = zip(("deletions", "insertions", "substitutions"), rates, strict=True)
    return {
        "wer": Score(sum(rates), interval(100 * num_errors[defined] / num_words[defined])),
        **{name: Score(rate) for name, rate in parts},
    }


def clean_phoenix_gloss(line: str) -> str:
    """Normalises a PHOENIX-2014-T gloss line as the data set's evaluation does.

    Removes markers such as __EMOTION__, "loc-", "cl-", "-PLUSPLUS" and a final RAUM. Makes
    WIE AUSSEHEN one gloss, joins spelled letters by "+" and merges repeated neighbours. The
    evaluation misses spelled letters in some places, such as the ends of a line; here all are
    joined.
    """
    tokens = (_SUFFIX.sub("", _PREFIX.sub("", _MARKER.sub("", token))) for token in line.split())
    joined = " ".join(token for token in tokens if token).replace("WIE AUSSEHEN", "WIE-AUSSEHEN")
    spelled = _SPELLED_GAP.sub(r"\1\2+", joined)
    return " ".join(token for token, _ in groupby(spelled.split()))


def alignment_errors(
    hypothesis: list[str], reference: list[str], costs: Costs = SIGNJOEY_COSTS
) -> tuple[int, int, int]:
    """Returns (deletions, insertions, substitutions) of the cheapest alignment."""
    pairs = [pair for pair in aligned(hypothesis, reference, costs) if pair[0] != pair[1]]
    deletions = sum(recognised is None for recognised, _ in pairs)
    insertions = sum(true is None for _, true in pairs)
    return deletions, insertions, len(pairs) - deletions - insertions


def aligned(
    hypothesis: list[str], reference: list[str], costs: Costs = SIGNJOEY_COSTS
) -> list[tuple[str | None, str | None]]:
    """Returns the cheapest alignment: pairs in order, with None for what only the other has."""
    # A match is always taken; of equal costs, substitution goes before insertion before deletion.
    # The cheapest path to each prefix of the hypothesis.
    row = [_Path(0)]
    for other in hypothesis:
        row.append(row[-1].then(costs.insertion, other, None))
    for word in reference:
        above, row = row, [row[0].then(costs.deletion, None, word)]
        for column, other in enumerate(hypothesis, start=1):
            if word == other:
                row.append(above[column - 1].then(0, other, word))
                continue
            substituted = above[column - 1].then(costs.substitution, other, word)
            inserted = row[-1].then(costs.insertion, other, None)
            deleted = above[column].then(costs.deletion, None, word)
            row.append(min(substituted, inserted, deleted, key=lambda path: path.cost))
    return list(row[-1].pairs())[::-1]


class _Path(NamedTuple):
    """A path of an alignment: its cost, its last pair, and the path before it."""

    cost: int
    pair: tuple[str | None, str | None] = (None, None)
    before: _Path | None = None

    def then(self, cost: int, recognised: str | None, true: str | None) -> _Path:
        return _Path(self.cost + cost, (recognised, true), self)

    def pairs(self) -> Iterator[tuple[str | None, str | None]]:
        """Yields the pairs, the last first."""
        path = self
        while path.before is not None:
            yield path.pair
            path = path.before
