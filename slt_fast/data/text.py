"""What the decoder says one by one: words, words and punctuation, characters, or subwords."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from slt_fast.data.subwords import Subwords, learn_subwords
from slt_fast.errors import UserError
from slt_fast.settings import Bounds, check_settings

# Marks the side of a punctuation mark on which no space stands.
_JOINER = "\uffed"
_SPACE = "\u2581"
# Inside a word or a number these are a part of it: don't, 3.5, 10:30.
_INNER = "'\u2019-.,:"


@dataclass(frozen=True)
class TextConfig:
    """How texts are cut into tokens; kept in each checkpoint."""

    text_units: Literal["word", "punctuated", "character", "subword"] = "word"
    """word (as the text is spaced), punctuated (punctuation is split off words), character (for
    languages without spaces) or subword (byte-pair encoding, learned from the training texts)."""
    num_subwords: Annotated[int, Bounds(ge=1), Bounds(le=10**6)] = 2000
    """Most subwords to learn; no more than occur are."""

    def __post_init__(self) -> None:
        check_settings(self)
        number, default = self.num_subwords, TextConfig.num_subwords
        if self.text_units != "subword" and number != default:
            expected = f"expected {default}, as text_units is {self.text_units!r}"
            raise UserError(f"num_subwords: found {number}; {expected}")


@dataclass(frozen=True)
class TextUnits:
    """Cuts texts into tokens, and joins tokens to texts.

    Args:
        kind: As TextConfig.text_units.
        subwords: What was learned of them; None for other kinds.
    """

    kind: str = "word"
    subwords: Subwords | None = None

    @classmethod
    def learn(cls, config: TextConfig, texts: Iterable[str]) -> TextUnits:
        """Returns the units of a config, of which some are learned from the training texts.

        Raises:
            UserError: There are fewer subwords than the texts have characters.
        """
        if config.text_units != "subword":
            return cls(config.text_units)
        spaced = [" ".join(normalise(text).split()) for text in texts]
        return cls("subword", learn_subwords(spaced, config.num_subwords))

    def split(self, text: str) -> list[str]:
        """Cuts a text into tokens, in lower case; how much whitespace it has does not matter."""
        if self.subwords is None:
            return split_text(text, self.kind)
        return self.subwords.split(" ".join(normalise(text).split()))

    def join(self, tokens: Sequence[str]) -> str:
        """Returns the text of tokens: for those of `split` the same text again, spaced once.

        U+2581 in texts of subwords is lost, and what join_text loses.
        """
        return join_text(tokens, self.kind) if self.subwords is None else self.subwords.join(tokens)


def normalise(text: str) -> str:
    """Returns a text in lower case, with letters and their accents composed (Unicode NFC)."""
    return unicodedata.normalize("NFC", text.lower())


def split_text(text: str, units: str = "word") -> list[str]:
    """Cuts a text into tokens, in lower case.

    Args:
        text: Any text; how much whitespace it has does not matter.
        units: "word", "punctuated" or "character".
    """
    words = normalise(text).split()
    if units == "character":
        return list(_SPACE.join(words))
    if units == "punctuated":
        return [token for word in words for token in _split_word(word)]
    if units != "word":
        raise ValueError(f"text_units: found {units!r}; expected word, punctuated or character")
    return words


def join_text(tokens: Sequence[str], units: str = "word") -> str:
    """Returns the text of tokens: for those of split_text the same text again, spaced once.

    Only U+FFED in punctuated texts and U+2581 in those of characters are lost: they mark joins and
    spaces.
    """
    if units == "character":
        return "".join(tokens).replace(_SPACE, " ")
    text = " ".join(tokens)
    if units == "punctuated":
        text = text.replace(f" {_JOINER}", "").replace(f"{_JOINER} ", "").replace(_JOINER, "")
    return text


def _split_word(word: str) -> list[str]:
    """Splits punctuation off a word; a mark carries a joiner on each side that touches a word."""
    marks = [_is_mark(word, index) for index in range(len(word))]
    tokens: list[str] = []
    for index, character in enumerate(word):
        if marks[index]:
            before = _JOINER if index > 0 else ""
            touches_word = marks[index + 1 : index + 2] == [False]
            tokens.append(f"{before}{character}{_JOINER if touches_word else ''}")
        elif index > 0 and not marks[index - 1]:
            tokens[-1] += character
        else:
            tokens.append(character)
    return tokens


def _is_mark(word: str, index: int) -> bool:
    """Returns whether a character is punctuation or a symbol of its own."""
    if unicodedata.category(word[index])[0] not in "PS":
        return False
    neighbours = word[index - 1 : index] + word[index + 1 : index + 2]
    is_inside = len(neighbours) == 2 and neighbours.isalnum()
    return not (word[index] in _INNER and is_inside)
