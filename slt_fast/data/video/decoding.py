"""Frames of a video file, decoded one after the other; damage shows in the frames it leaves out.

Where the container lists its frames (MP4/MOV, GIF), each of them must be decoded. Elsewhere its
number of frames is only duration times rate, so that a gap in time tells: it may not be long, but
at the end, where sound may go on without pictures. What a damaged file still decodes to, wrong
pictures included, cannot be told from the video.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from slt_fast.data.video.container import check_complete
from slt_fast.errors import DataError

# Between two frames, in seconds: recordings with a varying frame rate have gaps of their own.
_LONGEST_GAP = 0.5
# After the last frame, as a share of the duration, or _LONGEST_GAP if that is more. The duration is
# that of the longest stream, so that frames lost at the end look like sound that outlasts the
# picture. Sound rarely does so by a quarter; of videos cut anywhere, three in four lose more. By
# seconds, either short clips cut in half would pass or long whole ones be refused. A reader who
# knows better names the `end`, and then nothing behind it is looked at.
_LONGEST_TAIL = 0.25


def video_images(path: Path, first: int, end: int | None) -> Iterator[np.ndarray]:
    """The frames of a video file from `first` up to `end` (None: to the end of the video).

    Args:
        path: The file.
        first: First frame, from 0.
        end: Frame after the last one.

    Yields:
        uint8 [H, W, 3] BGR.

    Raises:
        DataError: If the file is no video, truncated, damaged, or shorter than asked for.
    """
    capture, num_listed = _open(path)
    total = 0
    for index in _grabbed(path, capture, num_listed, end):
        total = index + 1
        if index >= first:  # seeking would be quicker, but lands on the wrong frame in some codecs
            decoded, image = capture.retrieve()
            if not decoded:
                raise DataError(path, f"frame {index} broken", "frames that can be decoded")
            yield image
    check_count(path, total, first + 1 if end is None else end)


def count_video_frames(path: Path, end: int | None) -> int:
    """How many frames a video has: the listed ones, or, without a list, those decoded up to `end`.

    Raises:
        DataError: If the file is no video or truncated.
    """
    capture, num_listed = _open(path)
    if num_listed is not None:
        return num_listed
    return sum(1 for _ in _grabbed(path, capture, None, end))


def estimate_video_frames(path: Path) -> int:
    """About how many frames a video has: the listed ones, or duration times rate; none decoded.

    Raises:
        DataError: If the file is no video or truncated.
    """
    capture, num_listed = _open(path)
    duration_times_rate = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
    return duration_times_rate if num_listed is None else num_listed


def video_frame_rate(path: Path) -> float | None:
    """Returns the frames per second that a video's container declares, if it does.

    Raises:
        DataError: If the file is no video or truncated.
    """
    capture, _ = _open(path)
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0 < rate < math.inf else None


def check_count(path: Path, total: int, needed: int) -> None:
    """Check that a video or folder is long enough.

    Raises:
        DataError: If it has fewer frames than needed.
    """
    if total < needed:
        raise DataError(path, f"{total} frames", f"at least {needed}")


def _open(path: Path) -> tuple[cv2.VideoCapture, int | None]:
    """The opened video, and how many frames its container lists."""
    if not path.is_file():
        raise DataError(path, "no such file", "a video file or a folder of frames")
    num_listed = check_complete(path)
    # FFmpeg by name: the other backends take digits in a name for a pattern of image files. One
    # decoding thread: many clips are read at once by worker processes.
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise DataError(path, "no video that can be decoded", "a video file or a folder of frames")
    return capture, num_listed


def _grabbed(
    path: Path, capture: cv2.VideoCapture, num_listed: int | None, end: int | None
) -> Iterator[int]:
    """The number of each frame, once it is decoded, up to `end` or the end of the video."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    period = 1 / rate if rate > 0 else 0.0
    index, reached = 0, math.inf  # reached: seconds at the end of the last frame
    while end is None or index < end:
        if not capture.grab():
            duration = capture.get(cv2.CAP_PROP_FRAME_COUNT) * period
            _check_all_decoded(path, index, num_listed, (reached, duration))
            return
        now = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if num_listed is None and now - reached > _LONGEST_GAP:
            raise DataError(
                path,
                f"{index} frames, then none for {now - reached:.1f} of {now:.1f} seconds",
                f"no gap over {_LONGEST_GAP} seconds (the video is damaged or truncated)",
            )
        reached = now + period
        yield index
        index += 1


def _check_all_decoded(
    path: Path, total: int, num_listed: int | None, times: tuple[float, float]
) -> None:
    reached, duration = times
    if num_listed is None and duration - reached > max(_LONGEST_GAP, _LONGEST_TAIL * duration):
        raise DataError(
            path,
            f"{total} frames, then none for the last {duration - reached:.1f} of {duration:.1f} "
            "seconds",
            f"no gap over {_LONGEST_TAIL:.0%} at the end (the video is damaged or truncated; if "
            f"just its sound is longer, end {total} says so)",
        )
    if num_listed is not None and total < num_listed:
        raise DataError(
            path,
            f"{total} frames that can be decoded",
            f"{num_listed}, as its container lists (the video is damaged)",
        )
