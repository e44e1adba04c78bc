import json
from pathlib import Path

import pytest

from slt_fast.data.datasets.phoenix14t import read_annotations
from slt_fast.data.vocabulary import (
    BLANK,
    BOS,
    EOS,
    GLOSS_SPECIALS,
    PAD,
    TEXT_SPECIALS,
    UNK,
    Vocabulary,
)

TEXTS = ["b a  b", "c a b", "d"]


def test_order_is_by_count_then_alphabet() -> None:
    vocabulary = Vocabulary.build(TEXTS, TEXT_SPECIALS)
    assert vocabulary.tokens == ("<pad>", "<bos>", "<eos>", "<unk>", "b", "a", "c", "d")
    assert vocabulary == Vocabulary.build(reversed(TEXTS), TEXT_SPECIALS)
    assert len(vocabulary) == 8


def test_numbers_of_the_specials() -> None:
    assert [TEXT_SPECIALS[number] for number in (PAD, BOS, EOS, UNK)] == list(TEXT_SPECIALS)
    assert GLOSS_SPECIALS[BLANK] == "<blank>"


def test_encode_and_decode() -> None:
    vocabulary = Vocabulary.build(TEXTS, TEXT_SPECIALS)
    assert vocabulary.encode(" a\tnew b ") == [5, UNK, 4]
    assert vocabulary.encode(("a", "b")) == [5, 4]
    assert vocabulary.encode("<eos> a") == [UNK, 5]
    assert vocabulary.encode("") == []
    assert vocabulary.decode([BOS, 5, UNK, 4, EOS, 6, PAD]) == "a b"
    assert vocabulary.decode([]) == ""


def test_glosses_are_sequences_of_words() -> None:
    vocabulary = Vocabulary.build([("REGEN", "loc-NORD"), ("REGEN",)], GLOSS_SPECIALS)
    assert vocabulary.encode(("loc-NORD", "REGEN", "SONNE")) == [3, 2, 1]
    assert vocabulary.decode([0, 3, 0, 2, 1]) == "loc-NORD REGEN"


def test_unknown_word_without_a_number_for_it() -> None:
    with pytest.raises(ValueError, match="found 'c'; expected one of its 2 words"):
        Vocabulary.build(["a b"], ("<blank>",)).encode("a c b")


@pytest.mark.parametrize("number", [-1, 8])
def test_decode_number_of_no_token(number: int) -> None:
    with pytest.raises(ValueError, match=f"found number {number}; expected 0 to 7"):
        Vocabulary.build(TEXTS, TEXT_SPECIALS).decode([5, number])


def test_text_that_holds_a_special() -> None:
    with pytest.raises(ValueError, match="found '<unk>' 2 times"):
        Vocabulary.build(["a <unk> b"], TEXT_SPECIALS)


def test_json_round_trip() -> None:
    vocabulary = Vocabulary.build(["grüße an alle"], TEXT_SPECIALS)
    assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["a"], "found list; expected an object"),
        ({"words": ["a"]}, r"found \['words'\]; expected an object with 'specials' and 'words'"),
        ({"specials": [], "words": ["a"]}, "found no specials"),
        ({"specials": ["<unk>"], "words": ["a", "a"]}, "found 'a' 2 times"),
        ({"specials": ["<unk>"], "words": ["<unk>"]}, "found '<unk>' 2 times"),
        ({"specials": ["<unk>"], "words": ["a b"]}, "found token 'a b'; expected no whitespace"),
        ({"specials": ["<unk>"], "words": [""]}, "found token ''"),
        ({"specials": ["<unk>"], "words": [1]}, "found words of another kind"),
        ({"specials": "<unk>", "words": ["a"]}, "found specials of another kind"),
    ],
)
def test_json_that_is_no_vocabulary(data: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_json(data)


def test_sizes_of_phoenix14t(shared_data: Path) -> None:
    folder = shared_data / "phoenix14t" / "annotations" / "manual"
    rows = read_annotations(folder / "PHOENIX-2014-T.train.corpus.csv")
    assert len(Vocabulary.build((row.text for row in rows), TEXT_SPECIALS).words) == 2887
    assert len(Vocabulary.build((row.glosses for row in rows), GLOSS_SPECIALS).words) == 1085
