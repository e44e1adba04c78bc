import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slt_fast.data.batching import Vocabularies
from slt_fast.data.subwords import Subwords
from slt_fast.data.text import TextConfig, TextUnits
from slt_fast.data.vocabulary import UNK
from slt_fast.errors import UserError
from tests.data.test_batching import clip

TEXTS = ["Der Regen regnet.", "regnerischer Tag", "am Tag der Regen", "Tage am Meer"]
CONFIG = TextConfig("subword", 30)
UNITS = TextUnits.learn(CONFIG, TEXTS)


def test_frequent_parts_of_words_are_tokens() -> None:
    assert UNITS.split("  Der REGEN ") == ["▁der", "▁regen"]
    tokens = UNITS.split("tagen")  # not in the texts
    assert 1 < len(tokens) < 5 and tokens[0].startswith("▁ta")
    assert TextUnits.learn(CONFIG, TEXTS) == UNITS
    assert TextUnits.learn(TextConfig("subword", 20), TEXTS) != UNITS


@given(st.text(st.characters(exclude_characters="\u2581", exclude_categories=["Cs"])))
def test_joining_gives_the_text_again(text: str) -> None:
    tokens = UNITS.split(text)
    assert UNITS.join(tokens) == TextUnits().join(TextUnits().split(text))
    assert all(token.split() == [token] for token in tokens)


def test_unknown_are_only_characters_that_training_does_not_have() -> None:
    words = Vocabularies.build([clip(number, text) for number, text in enumerate(TEXTS)], CONFIG)
    numbers = words.encode_text("Regen am Tag")
    assert UNK not in numbers and words.decode_text(numbers) == "regen am tag"
    assert UNK in words.encode_text("regen ✓")
    assert pickle.loads(pickle.dumps(words)) == words  # as loader processes get it


@pytest.mark.parametrize(("number", "texts"), [(5, TEXTS), (7, ["abc", "def"]), (30, [""])])
def test_too_few_subwords_are_refused(number: int, texts: list[str]) -> None:
    with pytest.raises(UserError, match=f"num_subwords: found {number}; expected more than the"):
        TextUnits.learn(TextConfig("subword", number), texts)


@pytest.mark.parametrize("units", ["word", "punctuated", "character"])
def test_a_number_of_subwords_without_subwords_is_refused(units: str) -> None:
    with pytest.raises(UserError, match=f"num_subwords: found 500; .* text_units is '{units}'"):
        TextConfig(units, 500)


def test_no_more_subwords_are_learned_than_occur() -> None:
    assert TextUnits.learn(TextConfig("subword", 8), ["abc", "def"]).split("abc") != ["abc"]
    assert TextUnits.learn(TextConfig("subword", 5000), ["abc", "def"]).split("abc") == ["▁abc"]


def test_a_long_text_is_not_left_out() -> None:
    units = TextUnits.learn(CONFIG, ["xyz " * 5000, "a b"])
    assert units.split("xyz") == ["▁xyz"]


@pytest.mark.parametrize("broken", ["***", "eHl6", UNITS.subwords.to_text()[:400]])
def test_a_model_as_text(broken: str) -> None:
    assert Subwords.from_text(UNITS.subwords.to_text()) == UNITS.subwords
    with pytest.raises(ValueError, match="subwords: found"):
        Subwords.from_text(broken)
