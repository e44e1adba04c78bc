"""Crop boxes: the part of a video's pictures that a clip shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slt_fast.errors import DataError, UserError


@dataclass(frozen=True)
class Crop:
    """A box in the pictures of a video, which are upright; in pixels of the video.

    Args:
        x: Columns to the left of the box.
        y: Rows above the box.
        width: Columns in the box.
        height: Rows in the box.

    Raises:
        UserError: The box is empty or begins outside of the picture.
    """

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.x, self.y) < 0 or min(self.width, self.height) < 1:
            raise UserError(f"crop: found {self}; expected x and y from 0, width and height from 1")

    def __str__(self) -> str:
        return f"x {self.x}, y {self.y}, width {self.width}, height {self.height}"

    def fits(self, height: int, width: int) -> bool:
        """Returns whether the box is inside a picture of this size."""
        return self.x + self.width <= width and self.y + self.height <= height


def cropped(frames: Iterable[np.ndarray], crop: Crop | None, path: Path) -> Iterator[np.ndarray]:
    """Yields the box of each frame, uint8 [height, width, 3]; None yields the frames themselves.

    A frame that is shown again, as resampling does, gives the same object again.

    Raises:
        DataError: The box reaches out of the frames of the video at `path`.
    """
    last, box = None, np.empty(0)
    for frame in frames:
        if crop is None:
            box = frame
        elif frame is not last:
            H, W = frame.shape[:2]
            if not crop.fits(H, W):
                raise DataError(path, f"a crop box of {crop}", inside(H, W))
            # Copied, because a view would keep the whole frame in memory.
            box = frame[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width].copy()
        last = frame
        yield box


def inside(height: int, width: int) -> str:
    """Returns what is expected of a crop box, for errors."""
    return f"a box inside the video's {width}x{height} pixels"
