"""Numbers for words or glosses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from slt_fast.settings import is_writable

TEXT_SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
GLOSS_SPECIALS = ("<blank>", "<unk>")
PAD, BOS, EOS, UNK = range(len(TEXT_SPECIALS))
BLANK, UNKNOWN_GLOSS = range(len(GLOSS_SPECIALS))


@dataclass(frozen=True)
class Vocabulary:
    """A list of tokens: the specials first, then words.

    Args:
        specials: Tokens with a meaning of their own, which are never part of a text.
        words: The other tokens, in the order of their numbers.

    Raises:
        ValueError: There are no specials, or a token is repeated, empty or has whitespace.
    """

    specials: tuple[str, ...]
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.specials:
            raise ValueError("vocabulary: found no specials; expected at least one")
        for token, count in Counter(self.tokens).items():
            if count > 1:
                raise ValueError(f"vocabulary: found {token!r} {count} times; expected it once")
            if token.split() != [token]:
                raise ValueError(f"vocabulary: found token {token!r}; expected no whitespace")

    @classmethod
    def build(cls, sequences: Iterable[str | Sequence[str]], specials: Sequence[str]) -> Vocabulary:
        """Collects the words of texts, or of word lists, by falling count, then by alphabet."""
        counts = Counter(word for sequence in sequences for word in _split(sequence))
        words = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(tuple(specials), tuple(words))

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Returns all tokens in the order of their numbers."""
        return self.specials + self.words

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=len(self.specials))}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, sequence: str | Sequence[str]) -> list[int]:
        """Returns the numbers of the words of a text, or of a sequence of words.

        Specials are not added; a word that is spelled like one counts as unknown.

        Raises:
            ValueError: A word is unknown and there is no "<unk>".
        """
        unknown = self.specials.index("<unk>") if "<unk>" in self.specials else None
        numbers = []
        for word in _split(sequence):
            number = self._numbers.get(word, unknown)
            if number is None:
                expected = f"expected one of its {len(self.words)} words"
                raise ValueError(f"vocabulary: found {word!r}; {expected}")
            numbers.append(number)
        return numbers

    def decode(self, numbers: Iterable[int]) -> str:
        """Returns the words up to the first "<eos>", without specials, joined by spaces.

        Raises:
            ValueError: A number does not belong to a token.
        """
        words = []
        for number in numbers:
            if not 0 <= number < len(self):
                raise ValueError(
                    f"vocabulary: found number {number}; expected 0 to {len(self) - 1}"
                )
            if number >= len(self.specials):
                words.append(self.tokens[number])
            elif self.tokens[number] == "<eos>":
                break
        return " ".join(words)

    def to_json(self) -> dict[str, list[str]]:
        """Returns what `from_json` reads, ready for json.dump."""
        return {"specials": list(self.specials), "words": list(self.words)}

    @classmethod
    def from_json(cls, data: object) -> Vocabulary:
        """Returns the vocabulary that `to_json` wrote.

        Raises:
            ValueError: The data has another form.
        """
        if not isinstance(data, dict) or set(data) != {"specials", "words"}:
            found = sorted(data) if isinstance(data, dict) else type(data).__name__
            raise ValueError(
                f"vocabulary: found {found}; expected an object with 'specials' and 'words'"
            )
        for name, tokens in data.items():
            if not isinstance(tokens, list) or not all(
                isinstance(token, str) and is_writable(token) for token in tokens
            ):
                raise ValueError(
                    f"vocabulary: found {name} of another kind; expected a list of strings"
                )
        return cls(tuple(data["specials"]), tuple(data["words"]))


def _split(sequence: str | Sequence[str]) -> Sequence[str]:
    return sequence.split() if isinstance(sequence, str) else sequence
