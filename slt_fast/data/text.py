"""What the decoder says one by one: words, words and punctuation, or characters."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from slt_fast.settings import check_settings

# Marks the side of a punctuation mark on which no space stands.
_JOINER = "\uffed"
_SPACE = "\u2581"
# Inside a word or a number these are a part of it: don't, 3.5, 10:30.
_INNER = "'\u2019-.,:"


@dataclass(frozen=True)
class TextConfig:
    """How texts are cut into tokens; kept in each checkpoint."""

    text_units: Literal["word", "punctuated", "character"] = "word"
    """word (as the text is spaced), punctuated (punctuation is split off words) or character (for
    languages without spaces)."""

    def __post_init__(self) -> None:
        check_settings(self)


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
