"""A score with its interval and signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slt_fast.errors import UserError


@dataclass(frozen=True)
class Score:
    """A score of a split.

    Args:
        value: The score in percent.
        interval: Lower and upper end of its 95 % interval; None if it has none.
        signature: How sacrebleu computed it; None for our own scores.
    """

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
    """Raises UserError if there is nothing to score, or not one hypothesis for each reference."""
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise UserError("scores: found one string; expected a list of sentences")
    if not references or len(hypotheses) != len(references):
        found = f"{len(hypotheses)} hypotheses and {len(references)} references"
        raise UserError(f"scores: found {found}; expected as many of each, and at least one")
