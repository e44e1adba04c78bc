import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slt_fast.data.text import join_text, split_text


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A ship, captain!", ["a", "ship", "\uffed,", "captain", "\uffed!"]),
        ("a ship , captain !", ["a", "ship", ",", "captain", "!"]),
        ('(Say: "no".)', ['(￭', 'say', '￭:', '"￭', 'no', '￭"', '￭.', '￭)']),
        ("don't say 3.5 or 10:30", ["don't", "say", "3.5", "or", "10:30"]),
        ("what?!", ["what", "\uffed?", "\uffed!"]),
        ("yes\u2014no", ["yes", "\uffed\u2014\uffed", "no"]),
        ("हिन्दी।", ["हिन्दी", "\uffed।"]),
    ],
)  # fmt: skip
def test_punctuation_is_split_off_and_joined_back(text: str, tokens: list[str]) -> None:
    assert split_text(text, "punctuated") == tokens
    assert join_text(tokens, "punctuated") == text.lower()


def test_characters() -> None:
    assert split_text("今天 天气", "character") == ["今", "天", "▁", "天", "气"]
    assert join_text(["今", "天", "▁", "天"], "character") == "今天 天"


@pytest.mark.parametrize("units", ["word", "punctuated", "character"])
def test_accents_are_composed(units: str) -> None:
    decomposed = unicodedata.normalize("NFD", "Schläfst")
    assert split_text(decomposed, units) == split_text("schläfst", units)


@given(st.text(st.characters(exclude_characters="\uffed\u2581", exclude_categories=["Cs"])))
def test_joining_gives_the_text_again(text: str) -> None:
    expected = " ".join(unicodedata.normalize("NFC", text.lower()).split())
    for units in ("word", "punctuated", "character"):
        tokens = split_text(text, units)
        assert join_text(tokens, units) == expected
        assert all(token.split() == [token] for token in tokens)


@pytest.mark.parametrize(
    ("units", "joined"), [("word", "a\uffedb\u2581c"), ("punctuated", "ab\u2581c")]
)
def test_only_the_marks_of_joins_and_spaces_are_lost(units: str, joined: str) -> None:
    assert join_text(split_text("a\uffedb\u2581c", units), units) == joined


def test_the_words_of_before() -> None:
    assert split_text(" The  DOG sleeps . ") == ["the", "dog", "sleeps", "."]


def test_unknown_units_are_a_defect() -> None:
    with pytest.raises(ValueError, match="text_units: found 'char'; expected word, punctuated or"):
        split_text("a text", "char")
