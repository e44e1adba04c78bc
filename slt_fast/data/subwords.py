"""Subwords by byte-pair encoding (Sennrich et al., 2016), as sentencepiece learns them."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from slt_fast.errors import UserError

_SPACE = "\u2581"  # begins each word
_LONGEST_TEXT = 2**20  # bytes; longer ones would be left out


@dataclass(frozen=True)
class Subwords:
    """Cuts texts into subwords, and joins them.

    Args:
        model: The model of sentencepiece, a protocol buffer.

    Raises:
        ValueError: The model is broken.
    """

    model: bytes

    def __post_init__(self) -> None:
        try:
            _ = self._processor
        except RuntimeError as error:
            raise ValueError(f"subwords: found no model of sentencepiece: {error}") from error

    @cached_property
    def _processor(self) -> SentencePieceProcessor:
        return SentencePieceProcessor(model_proto=self.model)

    @classmethod
    def from_text(cls, text: str) -> Subwords:
        """Returns what `to_text` wrote; raises ValueError if the text is something else."""
        try:
            return cls(base64.b64decode(text, validate=True))
        except binascii.Error as error:
            raise ValueError(f"subwords: found {text[:20]!r}: {error}") from error

    def to_text(self) -> str:
        """Returns the model as text, for JSON."""
        return base64.b64encode(self.model).decode("ascii")

    def split(self, text: str) -> list[str]:
        """Cuts a text, which is spaced once, into subwords; unknown characters stay alone."""
        return self._processor.encode(text, out_type=str)

    def join(self, tokens: Sequence[str]) -> str:
        """Returns the text of subwords."""
        return "".join(tokens).replace(_SPACE, " ").strip()


def learn_subwords(texts: Iterable[str], number: int) -> Subwords:
    """Learns at most `number` subwords from texts, which are spaced once.

    Raises:
        UserError: The texts have more characters, or none.
    """
    known = [text for text in texts if text]
    characters = {*"".join(known).replace(" ", ""), _SPACE}
    if not known or number <= len(characters):
        expected = f"more than the {len(characters)} characters of the training texts"
        raise UserError(f"num_subwords: found {number}; expected {expected}")
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(known),
        model_writer=model,
        model_type="bpe",
        vocab_size=number,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        max_sentence_length=_LONGEST_TEXT,
        num_threads=1,  # so that the same texts give the same subwords
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        minloglevel=2,
    )
    return Subwords(model.getvalue())
