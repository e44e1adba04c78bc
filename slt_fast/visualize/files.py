"""Writes pictures, animations and videos, each whole or not at all."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from slt_fast.errors import UserError
from slt_fast.files import replacing

ANIMATIONS = (".gif", ".webp")
VIDEOS = (".mp4",)
# The first that PyAV's FFmpeg has. The second is FFmpeg's own, and some browsers do not play it.
_ENCODERS = ("libx264", "mpeg4")


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes an image, uint8 [H, W, 3] RGB; raises UserError if the file is no *.png."""
    _check_suffix(path, (".png",))
    with replacing(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def write_animation(path: Path, pictures: Sequence[np.ndarray], *, fps: float = 25.0) -> None:
    """Writes a loop of pictures, uint8 [H, W, 3] RGB, all of one size.

    Raises:
        UserError: The suffix of the file is none of ANIMATIONS.
    """
    _check_suffix(path, ANIMATIONS)
    animation = cv2.Animation()
    animation.frames = [np.ascontiguousarray(picture[..., ::-1]) for picture in pictures]
    animation.durations = [round(1000 / fps)] * len(pictures)
    with replacing(path) as temporary:
        temporary.write_bytes(cv2.imencodeanimation(path.suffix, animation)[1].tobytes())


def write_video(path: Path, pictures: Sequence[np.ndarray], *, fps: float = 25.0) -> None:
    """Writes a video of pictures, uint8 [H, W, 3] RGB, all of one size.

    The last row and column are repeated if the number of rows or columns is odd, because H.264
    halves the colours.

    Raises:
        UserError: The suffix of the file is none of VIDEOS.
    """
    _check_suffix(path, VIDEOS)
    encoder = next(name for name in _ENCODERS if name in av.codecs_available)
    H, W = pictures[0].shape[:2]
    rate = Fraction(fps).limit_denominator(1001)
    with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream(encoder, rate=rate)
        stream.height, stream.width, stream.pix_fmt = H + H % 2, W + W % 2, "yuv420p"
        for picture in pictures:
            even = np.pad(picture, ((0, H % 2), (0, W % 2), (0, 0)), mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())


def _check_suffix(path: Path, known: Sequence[str]) -> None:
    if path.suffix.lower() not in known:
        raise UserError(f"{path}: found suffix {path.suffix!r}; expected {' or '.join(known)}")
