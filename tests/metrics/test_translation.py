import json
import unicodedata
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from slt_fast.errors import UserError
from slt_fast.metrics import (
    deciding_score,
    flat_scores,
    most_common_share,
    translation_scores,
    warn_of_repeats,
    word_error_rate,
)

WORDS = st.lists(st.sampled_from("abc"), max_size=6)


def translated(hypotheses: list[str], references: list[str]) -> dict:
    return flat_scores(translation_scores(hypotheses, references))


def errors(hypotheses: list[str], references: list[str]) -> dict:
    return flat_scores(word_error_rate(hypotheses, references))


def test_translation_scores_are_the_communitys(parity_lines, parity_scores) -> None:
    expected = parity_scores
    scores = translated(parity_lines("parity/dev.hyp"), parity_lines("parity/dev.ref"))
    for name in ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "chrf"):
        assert scores[name] == pytest.approx(expected["dot"][name], abs=0.00501)
        assert scores[f"no_dot.{name}"] == pytest.approx(expected["no_dot"][name], abs=0.00501)


def test_cumulative_bleu_is_sacrebleus_own() -> None:
    hypotheses = ["the cat sat on the mat .", "a dog runs fast here .", "x y ."]
    references = ["the cat sat on a mat .", "the dog runs very fast .", "p q ."]
    scores = translated(hypotheses, references)
    for order in (1, 2, 3, 4):
        bleu = BLEU(lowercase=True, max_ngram_order=order, force=True)
        assert scores[f"bleu{order}"] == pytest.approx(
            bleu.corpus_score(hypotheses, [references]).score
        )
    assert scores["signature"] == str(bleu.get_signature())
    assert "version:" in scores["chrf_signature"]


def test_interval_of_bleu_is_sacrebleus_own(parity_lines, parity_scores) -> None:
    """But for the draws, of which sacrebleu has others."""
    names = ("parity/dev.hyp", "parity/dev.ref")
    hypotheses, references = (parity_lines(name)[:200] for name in names)
    bleu = BLEU(lowercase=True, force=True)
    dotted = [[f"{text} ." for text in side] for side in (hypotheses, references)]
    score = bleu.corpus_score(dotted[0], [dotted[1]], n_bootstrap=1000)
    expected = json.loads(score.format(signature=str(bleu.get_signature()), is_json=True))
    scores = translated(hypotheses, references)
    assert scores["bleu4"] == pytest.approx(score.score)
    half = (scores["bleu4_high"] - scores["bleu4_low"]) / 2
    assert half == pytest.approx(expected["confidence_var"], rel=0.1)
    assert (scores["bleu4_high"] + scores["bleu4_low"]) / 2 == pytest.approx(score.score, rel=0.05)
    assert translated(hypotheses, references) == scores


def test_interval_of_a_share_is_the_binomials() -> None:
    """Of 400 clips, one half right: 50 % +- 1.96 standard deviations of 2.5 %."""
    scores = translated(["a", "b"] * 200, ["a", "c"] * 200)
    bounds = scores["exact_match_low"], scores["exact_match_high"]
    assert bounds == pytest.approx((45.1, 54.9), abs=0.6)
    rates = errors(["A", "B"] * 200, ["A", "C"] * 200)
    assert (rates["wer_low"], rates["wer_high"]) == pytest.approx((45.1, 54.9), abs=0.6)


def test_interval_where_nothing_varies() -> None:
    scores = translated(["a b c d"] * 3, ["a b c d"] * 3)
    for name in ("bleu4", "exact_match"):
        assert scores[f"{name}_low"] == scores[f"{name}_high"] == pytest.approx(100)
    scores = translated(["a b c d"], ["a b c d e f"])
    assert scores["bleu4_low"] == scores["bleu4_high"] == pytest.approx(scores["bleu4"])
    # The reference without a word, drawn twice, has no rate; beside the other one it has an error.
    rates = errors(["X", "A"], ["", "A"])
    assert rates["wer_low"] == 0 and rates["wer_high"] == 100


def test_bleu_without_a_common_fourgram_is_smoothed() -> None:
    scores = translated(["a b c x y"], ["a b c d e"])
    assert 0 < scores["bleu4"] < scores["bleu3"]


@pytest.mark.parametrize("hypothesis", ["a b c d", "a b c d .", "A b C d.", "a  b c d . "])
@pytest.mark.parametrize("reference", ["a b c d", "a b C d ."])
def test_final_dot_and_case_do_not_matter(hypothesis: str, reference: str) -> None:
    scores = translated([hypothesis], [reference])
    for name in ("bleu4", "chrf", "rouge_l", "exact_match", "no_dot.bleu4", "no_dot.rouge_l"):
        assert scores[name] == pytest.approx(100)


@pytest.mark.parametrize("mark", ["?", " ?", "!", " !  "])
def test_no_dot_goes_after_another_mark(mark: str) -> None:
    """It would be a common word for nothing."""
    scores = translated([f"a b c d{mark}"], [f"a x y z{mark}"])
    assert scores["bleu1"] == scores["no_dot.bleu1"] == pytest.approx(40)
    mixed = translated([f"a b c d{mark}"], ["a b c d"])
    assert mixed["bleu1"] == pytest.approx(80) and mixed["exact_match"] == 0


def test_dot_counts_in_the_headline_only() -> None:
    scores = translated(["a b c d e"], ["a b x y z"])
    assert scores["bleu1"] == pytest.approx(50) and scores["no_dot.bleu1"] == pytest.approx(40)
    assert scores["exact_match"] == 0


def test_empty_hypotheses_score_nothing() -> None:
    scores = translated(["", ""], ["a b c d", "e f g h"])
    assert scores["no_dot.bleu1"] == scores["no_dot.rouge_l"] == scores["exact_match"] == 0


def test_exact_match_is_in_percent() -> None:
    assert translated(["a b", "c d", "e", "f"], ["a b", "c x", "e", "f g"])["exact_match"] == 50


def longest_common(first: list[str], second: list[str]) -> int:
    """By trying every subsequence, longest first."""
    for length in range(min(len(first), len(second)), 0, -1):
        if set(combinations(first, length)) & set(combinations(second, length)):
            return length
    return 0


@settings(max_examples=30)  # each resamples the clips a thousand times
@given(WORDS, WORDS.filter(bool))
def test_rouge_l_formula(hypothesis: list[str], reference: list[str]) -> None:
    score = translated([" ".join(hypothesis)], [" ".join(reference)])["no_dot.rouge_l"]
    common = longest_common(hypothesis, reference)
    if common == 0:
        assert score == 0
        return
    precision, recall = common / len(hypothesis), common / len(reference)
    expected = (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)
    assert score == pytest.approx(100 * expected)


def test_most_common_share() -> None:
    assert most_common_share(["a", "b", "a", "a"]) == 0.75
    with pytest.raises(ValueError, match="found no hypotheses"):
        most_common_share([])


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["a", "a", "a", "b"], "more than half of the test sentences are the same sentence"),
        (["", " ", "\t", "b"], "more than half of the test sentences are empty"),
        ([""], "more than half of the test sentences are empty"),
        (["a", "a", "b", "c"], ""),
        (["", "", "b", "c"], ""),
        (["a"], ""),
    ],
)
def test_warns_of_repeated_and_empty_sentences(caplog, said: list[str], message: str) -> None:
    warn_of_repeats(said, "test sentences")
    assert caplog.messages == [message] * bool(message)


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
    with pytest.raises(ValueError, match=message) as caught:
        score(hypotheses, references)
    assert not isinstance(caught.value, UserError)


def test_languages_without_spaces_are_scored_by_character() -> None:
    references = ["今天天气很好", "明天会下雨"]
    scores = translation_scores(["今天天气不好", "明天会下雨"], references)
    assert "tok:char" in scores["bleu4"].signature
    assert scores["bleu1"].value == pytest.approx(100 * 10 / 11)
    assert scores["exact_match"].value == 50
    spaced = translation_scores(["今天 天气 不好", "明天 会 下雨"], references)
    assert spaced["bleu4"].value == scores["bleu4"].value
    assert "tok:13a" in translation_scores(["a b"], ["a b"])["bleu4"].signature


def test_accents_match_however_they_are_composed() -> None:
    decomposed = unicodedata.normalize("NFD", "er schläft jetzt gut .")
    assert translation_scores(["er schläft jetzt gut ."], [decomposed])["exact_match"].value == 100


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        (["hello", "thank you", "one two three"], "exact_match"),
        (["hello", "one two three four"], "bleu4"),
        (["你好", "谢谢"], "exact_match"),
        (["你好", "明天会下雨"], "bleu4"),
    ],
)
def test_short_texts_are_decided_by_exact_matches(references: list[str], expected: str) -> None:
    assert deciding_score(references) == expected
