"""Whether two systems differ by more than chance: sacrebleu's paired test."""

from collections.abc import Sequence
from typing import NamedTuple

from sacrebleu.metrics import CHRF
from sacrebleu.significance import PairedTest, Result

from slt_fast.metrics.translation import prepared, sacrebleu_of


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

    In each of 10,000 trials the translations of a sentence are swapped by chance. sacrebleu counts
    the trials with a larger difference, and none with the same: of equal systems it would say that
    they differ. If k sentences differ, no p-value is below 2 / 2^k, the share of the trials that
    swap all of them or none.

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
    systems: list[tuple[str, Sequence[str]]]
    systems = [("first", ours.dotted[0]), ("second", theirs.dotted[0])]
    signatures, scores = PairedTest(systems, metrics, [ours.dotted[1]], test_type="ar")()
    found, least = {}, 2.0 ** (1 - sum(map(str.__ne__, ours.dotted[0], theirs.dotted[0])))
    # sacrebleu names the columns by its metrics.
    for name, (column, signature) in zip(metrics, signatures.items(), strict=True):
        one, other = (result for result in scores[column] if isinstance(result, Result))
        assert other.p_value is not None
        p_value = min(1.0, max(other.p_value, least))
        found[name] = Difference(one.score, other.score, p_value, str(signature))
    return found
