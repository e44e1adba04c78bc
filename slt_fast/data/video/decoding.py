"""Decodes video files frame by frame, and detects damage by the frames that are missing.

If the container lists its frames (MP4/MOV, GIF), each of them must be decoded. Otherwise its number
of frames is only duration times rate, so damage is detected by gaps in time. Long gaps are errors,
except at the end, where sound may outlast the pictures. Wrong pictures that a damaged file still
decodes to cannot be detected.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from slt_fast.data.video.container import check_complete
from slt_fast.errors import DataError

# Between two frames, in seconds: recordings with a varying frame rate have gaps of their own.
_LONGEST_GAP = 0.5
# After the last frame, as a share of the duration, or _LONGEST_GAP if that is more. The duration is
# that of the longest stream, so frames lost at the end look like sound that outlasts the picture.
# Sound rarely does so by a quarter; of videos cut anywhere, three in four lose more. A limit in
# seconds would pass short clips cut in half, or refuse long whole ones. A user who knows better
# names the `end`; nothing after it is checked.
_LONGEST_TAIL = 0.25


def video_images(path: Path, first: int, end: int | None) -> Iterator[np.ndarray]:
    """Decodes a video file from `first` up to `end` (None: to the end of the video).

    Args:
        path: The file.
        first: First frame, from 0.
        end: Frame after the last one.

    Yields:
        uint8 [H, W, 3] BGR.

    Raises:
        DataError: The file is not a video, truncated, damaged, or too short.
    """
    capture, num_listed = _open(path)
    total = 0
    for index in _grabbed(path, capture, num_listed, end):
        total = index + 1
        if index >= first:  # seeking is faster, but lands on the wrong frame in some codecs
            decoded, image = capture.retrieve()
            if not decoded:
                raise DataError(path, f"frame {index} broken", "frames that can be decoded")
            yield image
    check_count(path, total, first + 1 if end is None else end)


def count_video_frames(path: Path, end: int | None) -> int:
    """Counts the frames that the container lists, or, without a list, those decoded up to `end`.

    Raises:
        DataError: The file is not a video, or is truncated.
    """
    capture, num_listed = _open(path)
    if num_listed is not None:
        return num_listed
    return sum(1 for _ in _grabbed(path, capture, None, end))


def estimate_video_frames(path: Path) -> int:
    """Returns the number of listed frames, or duration times rate; decodes none.

    Raises:
        DataError: The file is not a video, or is truncated.
    """
    capture, num_listed = _open(path)
    duration_times_rate = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
    return duration_times_rate if num_listed is None else num_listed


def video_frame_rate(path: Path) -> float | None:
    """Returns the frames per second that a video's container declares, if it does.

    Raises:
        DataError: The file is not a video, or is truncated.
    """
    capture, _ = _open(path)
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0 < rate < math.inf else None


def check_count(path: Path, total: int, needed: int) -> None:
    """Raises DataError if a video or folder has fewer frames than needed."""
    if total < needed:
        raise DataError(path, f"{total} frames", f"at least {needed}")


@contextmanager
def opencv_errors(path: Path) -> Iterator[None]:
    """Turns OpenCV's errors about a file into DataError; elsewhere they are defects.

    Raises:
        DataError: OpenCV cannot read the file.
    """
    try:
        yield
    except cv2.error as error:
        raise DataError(path, " ".join(str(error).split()), "frames OpenCV can read") from error


def _open(path: Path) -> tuple[cv2.VideoCapture, int | None]:
    """Returns the opened video, and the number of frames that its container lists."""
    if not path.is_file():
        raise DataError(path, "no such file", "a video file or a folder of frames")
    num_listed = check_complete(path)
    # FFmpeg by name: the other backends take digits in a name for a pattern of image files.
    # One decoding thread: worker processes read many clips at once.
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise DataError(path, "no video that can be decoded", "a video file or a folder of frames")
    return capture, num_listed


def _grabbed(
    path: Path, capture: cv2.VideoCapture, num_listed: int | None, end: int | None
) -> Iterator[int]:
    """Yields the number of each decoded frame, up to `end` or the end of the video."""
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
