"""Changed inputs that show where a score comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from slt_fast.data.cameras import Camera
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.frame_source import FrameSource, Identity
from slt_fast.errors import DataError, UserError


@dataclass(frozen=True)
class BlankSource:
    """Black frames, of the size and number of another source's; a FrameSource."""

    source: FrameSource

    @property
    def name(self) -> str:
        """Name in errors."""
        return self.source.name

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the frames, uint8 [H, W, 3] zeros."""
        return map(np.zeros_like, self.source.frames())

    def read(self) -> np.ndarray:
        """Returns the frames, uint8 [T, H, W, 3] zeros."""
        return np.zeros_like(self.source.read())

    def num_frames(self) -> int:
        """Counts the frames that `read` returns."""
        return self.source.num_frames()

    def estimated_frames(self) -> int:
        """Estimates the number of frames."""
        return self.source.estimated_frames()

    def frame_rate(self) -> float | None:
        """Returns the frames per second of the other source."""
        return self.source.frame_rate()

    def at_rate(self, rate: float, camera: Camera | None = None) -> FrameSource:
        """Returns black frames for the other source resampled."""
        return BlankSource(self.source.at_rate(rate, camera))

    def place(self, data_root: Path) -> tuple[str, dict[str, Any]]:
        """Raises DataError: the cached flow of the other source is not that of black frames."""
        expected = "a video, a frame folder or a clip of the synthetic corpus"
        raise DataError(self.name, "a BlankSource", expected)

    def identity(self, data_root: Path) -> Identity:
        """Raises DataError as `place` does."""
        return Identity(*self.place(data_root), state={})

    def neutral(self) -> FrameSource | None:
        """Returns None: nothing moves already."""
        return None


def probe_all(clips: Sequence[AnnotatedClip], name: str) -> list[AnnotatedClip]:
    """Changes the input of clips as `probe` says.

    Raises:
        UserError: As `probe`, or nothing would change, because all sentences are statements.
    """
    probed = [probe(clip, name) for clip in clips]
    if probed == [*clips]:
        found = f"found {name!r} on {len(probed)} clips that are all statements"
        raise UserError(f"probe: {found}, which it does not change; expected blank")
    return probed


def probe(clip: AnnotatedClip, name: str) -> AnnotatedClip:
    """Changes the input of a clip: what remains of the score does not come from what was removed.

    The probe is "blank" (black frames), or "neutral" (head and face as in a statement; synthetic).

    Raises:
        UserError: Another probe, or "neutral" on real video.
    """
    source: FrameSource | None = None
    if name == "blank":
        source = BlankSource(clip.source)
    elif name == "neutral":
        source = clip.source.neutral()
    if source is None:
        expected = "blank, or neutral on the synthetic corpus"
        raise UserError(f"probe: found {name!r} on clip {clip.id}; expected {expected}")
    return replace(clip, source=source)
