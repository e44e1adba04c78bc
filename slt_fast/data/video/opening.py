"""What files and streams have in common: their video stream, its frame rate, its clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition

from slt_fast.data.limits import MAX_PIXELS
from slt_fast.data.video.ffmpeg import refusing
from slt_fast.errors import DataError, warn_once

# Only files, so that a playlist in the place of a video reaches no network.
FILE_OPTIONS = {"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
# AVFMT_NOTIMESTAMPS: a demuxer of bare streams, for which it invents 25 frames a second.
_NO_TIMESTAMPS = 0x80


def opening(place: Path | str) -> AbstractContextManager[None]:
    """Refuses what PyAV raises while it opens a video."""
    return refusing(lambda reason: _no_video(place, f"no video ({reason})"))


def largest_stream(place: Path | str, container: InputContainer) -> tuple[av.VideoStream, int, int]:
    """Returns the video stream of the most pixels, its width and its height.

    An attached picture is the cover of a sound.

    Raises:
        DataError: There is none.
    """
    with opening(place):
        videos = container.streams.video
        shown = [video for video in videos if not video.disposition & Disposition.attached_pic]
        # A stream of unknown codec has no context, and no size.
        sized = [(video, video.width, video.height) for video in shown if video.codec_context]
    if not sized:
        found = "a picture attached to sound" if videos else "no pictures"
        raise _no_video(place, "pictures of a codec that FFmpeg does not know" if shown else found)
    largest, W, H = max(sized, key=lambda stream: stream[1] * stream[2])
    if len(shown) > 1:
        warn_once(f"{place}: found {len(shown)} video streams; read the one of {W}x{H} pixels")
    return largest, W, H


def is_raw(container: InputContainer) -> bool:
    """Returns whether a container has no times of its frames."""
    return bool(container.format.flags & _NO_TIMESTAMPS)


def stated_rate(stream: av.VideoStream, *, raw: bool) -> float | None:
    """Returns the frames per second that a container states, if plausible."""
    rate = float((stream.codec_context.framerate if raw else stream.average_rate) or 0)
    return rate if 1 <= rate <= 1000 else None  # raw DV states 60000


def timed(
    frames: Iterable[av.VideoFrame], period: float, *, raw: bool
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yields seconds and frame; time goes on where the clock is set back, or has stopped.

    Args:
        frames: The frames.
        period: Seconds of a frame, if the frame rate is known, otherwise 0.
        raw: Whether the container has no times; the first frame is then at `period`.
    """
    last, shift = -math.inf, 0.0
    for frame in frames:
        is_timed = frame.time is not None and not raw
        time = frame.time + shift if is_timed else max(last, 0.0) + period
        if time < last:  # recordings of broadcasts
            time, shift = last + period, shift + last + period - time
        yield time, frame
        last = time


def _no_video(place: Path | str, found: str) -> DataError:
    return DataError(place, found, "a video file or a folder of frames")
