"""One clip of a data set: frames that are read on demand, and what is signed in them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from slt_fast.data.vocabulary import GLOSS_SPECIALS, TEXT_SPECIALS
from slt_fast.errors import DataError

if TYPE_CHECKING:
    from slt_fast.data.flow_cache.cache import CachedFlow


class FrameSource(Protocol):
    """Anything frames can be read from; picklable, so that worker processes can read it."""

    @property
    def name(self) -> str:
        """What errors call it."""

    def read(self) -> np.ndarray:
        """The frames, uint8 [T, H, W, 3] RGB."""

    def num_frames(self) -> int:
        """How many frames `read` returns, found without decoding them where the source allows."""


@dataclass(frozen=True)
class Clip:
    """A signed sentence and its annotation.

    Args:
        id: Unique in its data set.
        source: Where the frames come from.
        text: The sentence, as in the annotation file.
        glosses: Glosses in signing order; None where the data set has none.
        signer: Who signs; None if unknown.
        split: Split the clip belongs to.
        origin: "file:line" of its annotation, named in errors.
        gloss_convention: "phoenix14t" where glosses are scored as that data set's evaluation does.
        cached_flow: Its flow on disk, read instead of the frames; None computes it.

    Raises:
        DataError: If a word of the text or a gloss is spelled like a token with another meaning.
    """

    id: str
    source: FrameSource
    text: str
    glosses: tuple[str, ...] | None
    signer: str | None
    split: str
    origin: str
    gloss_convention: Literal["plain", "phoenix14t"] = "plain"
    cached_flow: CachedFlow | None = None

    def __post_init__(self) -> None:
        for name, words, specials in (
            ("text", self.text.lower().split(), TEXT_SPECIALS),
            ("gloss", self.glosses or (), GLOSS_SPECIALS),
        ):
            for word in words:
                if word in specials:
                    expected = f"words other than {', '.join(specials)}"
                    raise DataError(self.origin, f"{word!r} in the {name}", expected)


def minimum_ctc_frames(glosses: tuple[str, ...]) -> int:
    """The fewest steps in which CTC can emit the glosses.

    Each gloss takes one step, and a gloss that repeats the one before it needs a blank in between.
    """
    return len(glosses) + sum(first == second for first, second in pairwise(glosses))


def check_ctc_length(clip: Clip, num_steps: int) -> None:
    """Check that CTC can align the clip's glosses; clips without glosses always pass.

    Args:
        clip: The clip.
        num_steps: Steps of the CTC head for this clip; its frames, if time is not pooled.

    Raises:
        DataError: If there are fewer steps than the glosses need.
    """
    if clip.glosses is None:
        return
    minimum = minimum_ctc_frames(clip.glosses)
    if num_steps < minimum:
        expected = f"at least {minimum}, as CTC needs for {len(clip.glosses)} glosses"
        raise DataError(clip.origin, f"{num_steps} frames in clip {clip.id!r}", expected)
