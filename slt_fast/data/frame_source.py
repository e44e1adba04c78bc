"""Sources of frames, and the identity by which the flow of a source is found again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Identity:
    """Identifies a source in its data set and detects when it changed; ready for JSON.

    Args:
        name: Readable name; other sources may share it.
        place: Path in the data set with the first frame and the one after the last; or everything
            that determines a rendered clip.
        state: Bytes and time of change of a video, names and bytes of a folder's frames, or the
            version that renders.
    """

    name: str
    place: dict[str, Any]
    state: dict[str, Any]


class FrameSource(Protocol):
    """Anything that frames can be read from; picklable, so that worker processes can read it."""

    @property
    def name(self) -> str:
        """Name in errors."""

    def read(self) -> np.ndarray:
        """Returns the frames, uint8 [T, H, W, 3] RGB."""

    def num_frames(self) -> int:
        """Counts the frames that `read` returns, if possible without decoding them."""

    def estimated_frames(self) -> int:
        """Estimates the number of frames without decoding any."""

    def place(self, data_root: Path) -> tuple[str, dict[str, Any]]:
        """Returns name and place, relative to the data set, of the identity, without the disk.

        Raises:
            DataError: The source has no identity, because its frames are not its own.
        """

    def identity(self, data_root: Path) -> Identity:
        """Returns the identity of the source as it is now; paths are relative to the data set.

        Raises:
            DataError: The source has no identity, or is a folder without frames.
            OSError: The source cannot be read.
        """

    def neutral(self) -> FrameSource | None:
        """Returns the same signing with head and face as in a statement; None for real video."""
