"""Clips: frames that are read on demand, and the annotation of what is signed in them."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from slt_fast.data.cached_flow import CachedFlow
from slt_fast.data.frame_source import FrameSource
from slt_fast.data.vocabulary import GLOSS_SPECIALS, TEXT_SPECIALS
from slt_fast.errors import DataError


@dataclass(frozen=True)
class Clip:
    """Signing on video, without an annotation.

    Args:
        id: Name, unique in its data set.
        source: Source of the frames.
        cached_flow: Flow on disk, which is read instead of the frames; None computes the flow.
    """

    id: str
    source: FrameSource
    cached_flow: CachedFlow | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class AnnotatedClip(Clip):
    """A clip of a data set: a signed sentence with its annotation.

    Args:
        text: Sentence as in the annotation file.
        glosses: Glosses in signing order; None if the data set has none.
        signer: Name of the signer; None if unknown.
        split: Split of the data set.
        origin: "file:line" of the annotation, for errors.
        gloss_convention: "phoenix14t" scores glosses as that data set's evaluation does.

    Raises:
        DataError: A word of the text or a gloss is spelled like a special token.
    """

    text: str
    glosses: tuple[str, ...] | None
    signer: str | None
    split: str
    origin: str
    gloss_convention: Literal["plain", "phoenix14t"] = "plain"

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
    """Returns CTC's fewest steps: one a gloss, and a blank before each that repeats the last."""
    return len(glosses) + sum(first == second for first, second in pairwise(glosses))


class TooShortError(DataError):
    """A clip with fewer frames than CTC needs for its glosses."""


def check_ctc_length(clip: AnnotatedClip, num_steps: int) -> None:
    """Raises TooShortError if CTC cannot align the clip's glosses, if any, with so many steps."""
    if clip.glosses is None:
        return
    minimum = minimum_ctc_frames(clip.glosses)
    if num_steps < minimum:
        expected = f"at least {minimum}, as CTC needs for {len(clip.glosses)} glosses"
        raise TooShortError(clip.origin, f"{num_steps} frames in clip {clip.id!r}", expected)
