from functools import cache

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slt_fast.metrics import clean_phoenix_gloss, flat_scores, word_error_rate
from slt_fast.metrics.glosses import Costs, aligned, alignment_errors

WORDS = st.lists(st.sampled_from("abc"), max_size=6)
LINES = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5)


def errors(hypotheses: list[str], references: list[str]) -> dict:
    return flat_scores(word_error_rate(hypotheses, references))


@pytest.mark.parametrize("name", ["stmc_wer", "stmc_wer_raw"])
def test_word_error_rate_is_the_communitys(parity_lines, parity_scores, name: str) -> None:
    hypotheses = parity_lines("stmc/stmc.dev.gloss")
    references = parity_lines("nslt/phoenix2014T.dev.gloss")
    if name == "stmc_wer":
        hypotheses, references = (
            [*map(clean_phoenix_gloss, side)] for side in (hypotheses, references)
        )
    expected = parity_scores[name]
    rates = errors(hypotheses, references)
    assert rates.pop("wer_low") < rates["wer"] < rates.pop("wer_high")
    keys = {
        "wer": "wer",
        "deletions": "del_rate",
        "insertions": "ins_rate",
        "substitutions": "sub_rate",
    }
    assert rates == pytest.approx(
        {ours: expected[theirs] for ours, theirs in keys.items()}, abs=0.00501
    )


@given(WORDS, WORDS.filter(bool))
def test_alignment_is_a_cheapest_one(hypothesis: list[str], reference: list[str]) -> None:
    @cache
    def cost(h: int, r: int) -> int:
        if h == 0 or r == 0:
            return 3 * (h + r)
        different = hypothesis[h - 1] != reference[r - 1]
        return min(cost(h - 1, r - 1) + 4 * different, cost(h - 1, r) + 3, cost(h, r - 1) + 3)

    rates = errors([" ".join(hypothesis)], [" ".join(reference)])
    counts = {name: round(rate * len(reference) / 100) for name, rate in rates.items()}
    gaps, substitutions = counts["deletions"] + counts["insertions"], counts["substitutions"]
    assert 3 * gaps + 4 * substitutions == cost(len(hypothesis), len(reference))
    assert counts["insertions"] - counts["deletions"] == len(hypothesis) - len(reference)
    assert counts["wer"] == gaps + substitutions


@given(LINES.filter(lambda pairs: any(reference for _, reference in pairs)))
def test_unit_costs_count_the_errors_that_jiwer_counts(pairs: list) -> None:
    """Insertions beside an empty reference count in both rates, which divide by all words."""
    theirs = jiwer.process_words(
        [" ".join(reference) for _, reference in pairs],
        [" ".join(hypothesis) for hypothesis, _ in pairs],
    )
    ours = [alignment_errors(*pair, Costs(1, 1, 1)) for pair in pairs]
    num_errors = sum(map(sum, ours))
    assert num_errors == theirs.deletions + theirs.insertions + theirs.substitutions
    assert num_errors / sum(len(reference) for _, reference in pairs) == theirs.wer
    # Cheapest by signjoey's costs, an alignment may have more errors, never fewer.
    assert sum(sum(alignment_errors(*pair)) for pair in pairs) >= num_errors


def test_costs_decide_which_errors_are_counted() -> None:
    # Six gaps around two matches cost 18, less than five substitutions (20).
    hypothesis, reference = list("aaabb"), list("bbcca")
    assert alignment_errors(hypothesis, reference) == (3, 3, 0)
    assert alignment_errors(hypothesis, reference, Costs(1, 1, 1)) == (0, 0, 5)


def test_word_error_rate_is_over_all_reference_words() -> None:
    rates = errors(["A B C X", "", "D E"], ["A B C", "D", "D F"])
    assert rates["wer"] == pytest.approx(50)
    for name in ("deletions", "insertions", "substitutions"):
        assert rates[name] == pytest.approx(100 / 6)


def test_substitutions_go_before_gaps_of_the_same_cost() -> None:
    # Three substitutions cost as much as two deletions, a match and two insertions.
    rates = errors(["A Z W"], ["X Y A"])
    assert (rates["wer"], rates["substitutions"]) == (100, 100)


def test_long_lines_do_not_overflow() -> None:
    assert errors([" ".join("A" * 500)], ["B"])["wer"] == pytest.approx(50_000)


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("__ON__ REGEN __LEFTHAND__ SONNE __EMOTION__ __EPENTHESIS__", "REGEN SONNE"),
        ("loc-NORD cl-KOMMEN loc-REGEN-PLUSPLUS", "NORD KOMMEN REGEN"),
        ("WOHNRAUM RAUM", "WOHN RAUM"),
        ("WIE AUSSEHEN WETTER", "WIE-AUSSEHEN WETTER"),
        ("IN K O E L N REGEN", "IN K+O+E+L+N REGEN"),
        ("SCH A NN B", "SCH+A+NN+B"),
        ("A B", "A+B"),
        ("REGEN REGEN __ON__ REGEN SONNE SONNE", "REGEN SONNE"),
        ("neg-HABEN poss-MEIN IX", "neg-HABEN poss-MEIN IX"),
        ("  ", ""),
    ],
)
def test_clean_phoenix_gloss(line: str, clean: str) -> None:
    assert clean_phoenix_gloss(line) == clean
    assert clean_phoenix_gloss(clean) == clean


def test_word_error_rate_without_reference_words() -> None:
    with pytest.raises(ValueError, match="found empty references"):
        word_error_rate(["a"], [" "])


def test_an_alignment_names_what_was_taken_for_what() -> None:
    found = aligned(["a", "x", "c", "d"], ["a", "b", "c", "e", "e", "d"])
    assert found[:3] == [("a", "a"), ("x", "b"), ("c", "c")] and found[-1] == ("d", "d")
    assert found[3:5] == [(None, "e"), (None, "e")]
    assert aligned([], ["a"]) == [(None, "a")] and aligned(["a"], []) == [("a", None)]


@given(WORDS, WORDS)
def test_an_alignment_holds_both_lines_in_order(hypothesis, reference) -> None:
    pairs = aligned(hypothesis, reference)
    assert [first for first, _ in pairs if first is not None] == hypothesis
    assert [second for _, second in pairs if second is not None] == reference
