"""Turns decoded frames into pictures: upright RGB of one size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from slt_fast.data.video.ffmpeg import messages, refusing
from slt_fast.errors import DataError, warn_once

# As FFmpeg's own command converts and scales; in this thread alone.
_RGB: dict[str, Any] = {"format": "rgb24", "interpolation": Interpolation.BICUBIC, "threads": 1}
# A display matrix that is off by less than about one degree counts as upright, as in FFmpeg.
_LARGEST_TILT = 0.02


class Converter:
    """Converts the frames of a video; those of another size than the first are scaled to it.

    Args:
        path: The file, for errors.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._reformatter = path, VideoReformatter()
        self._size: tuple[int, int] | None = None
        self._last: tuple[av.VideoFrame, np.ndarray] | None = None
        self._rotation: int | None = None
        self._matrix: np.ndarray | None = None

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """Returns the picture of a frame, uint8 [H, W, 3] RGB.

        Raises:
            DataError: The metadata show the picture neither turned by 90 degrees nor flipped.
        """
        if self._last and self._last[0] is frame:  # shown again by the resampling
            return self._last[1]
        W, H = self._size = self._size or (frame.width, frame.height)
        if (frame.width, frame.height) != self._size:
            found = f"{frame.width}x{frame.height} pixels after frames of {W}x{H}"
            warn_once(f"{self._path}: found frames of {found}; they are scaled")
        # swscale warns of full-range colours, which it treats rightly.
        with messages(), refusing(self._refuse):
            rgb = self._reformatter.reformat(frame, W, H, **_RGB).to_ndarray()
            if frame.rotation != self._rotation:
                self._rotation, self._matrix = frame.rotation, _display_matrix(frame)
        if self._matrix is not None:
            rgb = _upright(self._path, rgb, self._matrix)
        picture = np.ascontiguousarray(rgb)
        self._last = frame, picture
        return picture

    def _refuse(self, reason: str) -> DataError:
        return DataError(self._path, f"a frame ({reason})", "one that can be shown in RGB")


def _display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """Returns a, b, c and d of a frame's display matrix; None if it has none.

    A frame that was asked for its side data refers to itself, and stays in memory until Python
    looks for such circles: hundreds of frames later.
    """
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    return None if matrix is None else np.frombuffer(matrix, np.int32)[[0, 1, 3, 4]].copy()


def _upright(path: Path, rgb: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Applies a display matrix: a point (x, y) is shown at (a x + c y, b x + d y).

    Scales and shifts are left out, as FFmpeg's own command leaves them (ISO/IEC 14496-12, 6.2.2).

    Args:
        path: The file, for errors.
        rgb: The picture as it is stored, [H, W, 3].
        matrix: a, b, c and d, of any scale.
    """
    a, b, c, d = map(float, matrix)
    tilt = _LARGEST_TILT * np.abs(matrix.astype(float)).max()
    if max(abs(b), abs(c)) <= tilt < min(abs(a), abs(d)):
        return rgb[:: _step(d), :: _step(a)]
    if max(abs(a), abs(d)) <= tilt < min(abs(b), abs(c)):
        return rgb.swapaxes(0, 1)[:: _step(b), :: _step(c)]
    shown = ", ".join(f"{value / 2**16:.3g}" for value in (a, b, c, d))
    expected = "pictures that are turned by 90, 180 or 270 degrees or mirrored, or neither"
    raise DataError(path, f"a display matrix ({shown})", expected)


def _step(factor: float) -> int:
    return -1 if factor < 0 else 1
