import json
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from slt_fast.metrics import (
    clean_phoenix_gloss,
    most_common_share,
    translation_scores,
    word_error_rate,
)

WORDS = st.lists(st.sampled_from("abc"), max_size=6)


def parity_lines(shared_data: Path, name: str) -> list[str]:
    text = (shared_data / "phoenix14t" / name).read_text(encoding="utf-8")
    return text.removesuffix("\n").split("\n")


def parity_scores(shared_data: Path) -> dict:
    path = shared_data / "phoenix14t" / "parity" / "expected.json"
    return json.loads(path.read_text(encoding="utf-8"))["dev"]


def test_translation_scores_are_the_communitys(shared_data: Path) -> None:
    expected = parity_scores(shared_data)
    scores = translation_scores(
        parity_lines(shared_data, "parity/dev.hyp"), parity_lines(shared_data, "parity/dev.ref")
    )
    for name in ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "chrf"):
        assert scores[name] == pytest.approx(expected["dot"][name], abs=0.00501)
        assert scores[f"no_dot.{name}"] == pytest.approx(expected["no_dot"][name], abs=0.00501)


@pytest.mark.parametrize("name", ["stmc_wer", "stmc_wer_raw"])
def test_word_error_rate_is_the_communitys(shared_data: Path, name: str) -> None:
    hypotheses = parity_lines(shared_data, "stmc/stmc.dev.gloss")
    references = parity_lines(shared_data, "nslt/phoenix2014T.dev.gloss")
    if name == "stmc_wer":
        hypotheses, references = (
            [*map(clean_phoenix_gloss, side)] for side in (hypotheses, references)
        )
    expected = parity_scores(shared_data)[name]
    rates = word_error_rate(hypotheses, references)
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


def test_cumulative_bleu_is_sacrebleus_own() -> None:
    hypotheses = ["the cat sat on the mat .", "a dog runs fast here .", "x y ."]
    references = ["the cat sat on a mat .", "the dog runs very fast .", "p q ."]
    scores = translation_scores(hypotheses, references)
    for order in (1, 2, 3, 4):
        bleu = BLEU(lowercase=True, max_ngram_order=order, force=True)
        assert scores[f"bleu{order}"] == pytest.approx(
            bleu.corpus_score(hypotheses, [references]).score
        )
    assert scores["signature"] == str(bleu.get_signature())
    assert "version:" in scores["chrf_signature"]


def test_interval_of_bleu_is_sacrebleus_own(shared_data: Path) -> None:
    """But for the draws, of which sacrebleu has others."""
    names = ("parity/dev.hyp", "parity/dev.ref")
    hypotheses, references = (parity_lines(shared_data, name)[:200] for name in names)
    bleu = BLEU(lowercase=True, force=True)
    dotted = [[f"{text} ." for text in side] for side in (hypotheses, references)]
    score = bleu.corpus_score(dotted[0], [dotted[1]], n_bootstrap=1000)
    expected = json.loads(score.format(signature=str(bleu.get_signature()), is_json=True))
    scores = translation_scores(hypotheses, references)
    assert scores["bleu4"] == pytest.approx(score.score)
    half = (scores["bleu4_high"] - scores["bleu4_low"]) / 2
    assert half == pytest.approx(expected["confidence_var"], rel=0.1)
    assert (scores["bleu4_high"] + scores["bleu4_low"]) / 2 == pytest.approx(score.score, rel=0.05)
    assert translation_scores(hypotheses, references) == scores


def test_interval_of_a_share_is_the_binomials() -> None:
    """Of 400 clips, one half right: 50 % +- 1.96 standard deviations of 2.5 %."""
    scores = translation_scores(["a", "b"] * 200, ["a", "c"] * 200)
    bounds = scores["exact_match_low"], scores["exact_match_high"]
    assert bounds == pytest.approx((45.1, 54.9), abs=0.6)
    rates = word_error_rate(["A", "B"] * 200, ["A", "C"] * 200)
    assert (rates["wer_low"], rates["wer_high"]) == pytest.approx((45.1, 54.9), abs=0.6)


def test_interval_where_nothing_varies() -> None:
    scores = translation_scores(["a b c d"] * 3, ["a b c d"] * 3)
    for name in ("bleu4", "exact_match"):
        assert scores[f"{name}_low"] == scores[f"{name}_high"] == pytest.approx(100)
    scores = translation_scores(["a b c d"], ["a b c d e f"])
    assert scores["bleu4_low"] == scores["bleu4_high"] == pytest.approx(scores["bleu4"])
    # The reference without a word, drawn twice, has no rate; beside the other one it has an error.
    rates = word_error_rate(["X", "A"], ["", "A"])
    assert rates["wer_low"] == 0 and rates["wer_high"] == 100


def test_bleu_without_a_common_fourgram_is_smoothed() -> None:
    scores = translation_scores(["a b c x y"], ["a b c d e"])
    assert 0 < scores["bleu4"] < scores["bleu3"]


@pytest.mark.parametrize("hypothesis", ["a b c d", "a b c d .", "A b C d.", "a  b c d . "])
@pytest.mark.parametrize("reference", ["a b c d", "a b C d ."])
def test_final_dot_and_case_do_not_matter(hypothesis: str, reference: str) -> None:
    scores = translation_scores([hypothesis], [reference])
    for name in ("bleu4", "chrf", "rouge_l", "exact_match", "no_dot.bleu4", "no_dot.rouge_l"):
        assert scores[name] == pytest.approx(100)


@pytest.mark.parametrize("mark", ["?", " ?", "!", " !  "])
def test_no_dot_goes_after_another_mark(mark: str) -> None:
    """It would be a common word for nothing."""
    scores = translation_scores([f"a b c d{mark}"], [f"a x y z{mark}"])
    assert scores["bleu1"] == scores["no_dot.bleu1"] == pytest.approx(40)
    mixed = translation_scores([f"a b c d{mark}"], ["a b c d"])
    assert mixed["bleu1"] == pytest.approx(80) and mixed["exact_match"] == 0


def test_dot_counts_in_the_headline_only() -> None:
    scores = translation_scores(["a b c d e"], ["a b x y z"])
    assert scores["bleu1"] == pytest.approx(50) and scores["no_dot.bleu1"] == pytest.approx(40)
    assert scores["exact_match"] == 0


def test_empty_hypotheses_score_nothing() -> None:
    scores = translation_scores(["", ""], ["a b c d", "e f g h"])
    assert scores["no_dot.bleu1"] == scores["no_dot.rouge_l"] == scores["exact_match"] == 0


def test_exact_match_is_in_percent() -> None:
    assert (
        translation_scores(["a b", "c d", "e", "f"], ["a b", "c x", "e", "f g"])["exact_match"]
        == 50
    )


def longest_common(first: list[str], second: list[str]) -> int:
    """By trying every subsequence, longest first."""
    for length in range(min(len(first), len(second)), 0, -1):
        if set(combinations(first, length)) & set(combinations(second, length)):
            return length
    return 0


@given(WORDS, WORDS.filter(bool))
def test_rouge_l_formula(hypothesis: list[str], reference: list[str]) -> None:
    score = translation_scores([" ".join(hypothesis)], [" ".join(reference)])["no_dot.rouge_l"]
    common = longest_common(hypothesis, reference)
    if common == 0:
        assert score == 0
        return
    precision, recall = common / len(hypothesis), common / len(reference)
    expected = (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)
    assert score == pytest.approx(100 * expected)


@given(WORDS, WORDS.filter(bool))
def test_alignment_is_a_cheapest_one(hypothesis: list[str], reference: list[str]) -> None:
    @cache
    def cost(h: int, r: int) -> int:
        if h == 0 or r == 0:
            return 3 * (h + r)
        different = hypothesis[h - 1] != reference[r - 1]
        return min(cost(h - 1, r - 1) + 4 * different, cost(h - 1, r) + 3, cost(h, r - 1) + 3)

    rates = word_error_rate([" ".join(hypothesis)], [" ".join(reference)])
    counts = {name: round(rate * len(reference) / 100) for name, rate in rates.items()}
    gaps, substitutions = counts["deletions"] + counts["insertions"], counts["substitutions"]
    assert 3 * gaps + 4 * substitutions == cost(len(hypothesis), len(reference))
    assert counts["insertions"] - counts["deletions"] == len(hypothesis) - len(reference)
    assert counts["wer"] == gaps + substitutions


def test_word_error_rate_is_over_all_reference_words() -> None:
    rates = word_error_rate(["A B C X", "", "D E"], ["A B C", "D", "D F"])
    assert rates["wer"] == pytest.approx(50)
    for name in ("deletions", "insertions", "substitutions"):
        assert rates[name] == pytest.approx(100 / 6)


def test_substitutions_go_before_gaps_of_the_same_cost() -> None:
    # Three substitutions cost as much as two deletions, a match and two insertions.
    rates = word_error_rate(["A Z W"], ["X Y A"])
    assert (rates["wer"], rates["substitutions"]) == (100, 100)


def test_long_lines_do_not_overflow() -> None:
    assert word_error_rate([" ".join("A" * 500)], ["B"])["wer"] == pytest.approx(50_000)


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


def test_most_common_share() -> None:
    assert most_common_share(["a", "b", "a", "a"]) == 0.75
    with pytest.raises(ValueError, match="found no hypotheses"):
        most_common_share([])


@pytest.mark.parametrize("score", [translation_scores, word_error_rate])
@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "found 0 hypotheses and 0 references"),
        (["a"], ["a", "b"], "found 1 hypotheses and 2 references"),
        ("a", ["a"], "found one string"),
    ],
)
def test_lists_that_do_not_match(score, hypotheses, references, message) -> None:
    with pytest.raises(ValueError, match=message):
        score(hypotheses, references)


def test_word_error_rate_without_reference_words() -> None:
    with pytest.raises(ValueError, match="found empty references"):
        word_error_rate(["a"], [" "])
