"""Changed inputs that tell where a score comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from slt_fast.data.clip import Clip, FrameSource
from slt_fast.data.synthetic import SyntheticSource

PROBES = ("blank", "neutral")


@dataclass(frozen=True)
class BlankSource:
    """As many frames as another source, of the same size, all black."""

    source: FrameSource

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.source.name

    def read(self) -> np.ndarray:
        """uint8 [T, H, W, 3] zeros."""
        return np.zeros_like(self.source.read())

    def num_frames(self) -> int:
        """How many frames `read` returns."""
        return self.source.num_frames()


def probe(clip: Clip, name: str) -> Clip:
    """The clip with a changed input: what is left of the score comes from elsewhere.

    Args:
        clip: The clip.
        name: "blank" (black frames), or "neutral" (head and face as in a statement; synthetic).

    Raises:
        ValueError: Another probe, or "neutral" on real video.
    """
    if name == "blank":
        return replace(clip, source=BlankSource(clip.source))
    if name == "neutral" and isinstance(clip.source, SyntheticSource):
        return replace(clip, source=replace(clip.source, non_manual=False))
    expected = "blank, or neutral on the synthetic corpus"
    raise ValueError(f"probe: found {name!r} on clip {clip.id}; expected {expected}")
