"""Finds the frames between the times at which a clip of a manifest starts and ends.

They are the frames that FFmpeg cuts out (-ss and -to): those that begin at `start` or later, and
before `end`. Times count from the first frame. As FFmpeg does, they are rounded to the clock of the
video: its frames begin at whole ticks, which last from 0.01 to 1 ms in most containers, but a whole
frame in AVI. The frames of a folder begin at multiples of 1 / fps.
"""

import math
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slt_fast.data.datasets.rows import TIME_UNITS, ErrorAt, Row
from slt_fast.data.frames.folder import frame_files
from slt_fast.data.video.decoding import Video, check_count
from slt_fast.data.video.source import VideoSource

_MICROSECOND = 1e-6
_CLOCK = re.compile(r"([0-9]{1,4}):([0-5][0-9]):([0-5][0-9](?:\.[0-9]{1,9})?)")


class Timing(NamedTuple):
    """When the frames of a video begin."""

    times: np.ndarray  # seconds from the first frame on, ascending
    rate: float | None  # frames per second on average; None if unknown
    tick: float  # seconds of a tick of the clock

    @property
    def seconds(self) -> float:
        """How long the video lasts."""
        return float(self.times[-1]) + (1 / self.rate if self.rate else 0)

    def __str__(self) -> str:
        return f"whose {len(self.times)} frames last {self.seconds:.2f} seconds"

    def is_past(self, end: float) -> bool:
        """Returns whether a clip ends after the video; half a frame is for rounded times."""
        return self.rate is not None and end >= self.seconds + 0.5 / self.rate

    def frame_from(self, seconds: float) -> int:
        """Returns the first frame that begins at a time or later; after the last one, their count.

        Half a tick is added to each beginning, so that the time is rounded to the clock.
        """
        return int(np.searchsorted(self.times, seconds - self.tick / 2, side="right"))


def frame_number(error_at: ErrorAt, row: Row, name: str, video: VideoSource) -> int | None:
    """Returns the frame at which the clip of a row starts or ends, given as such or as a time.

    Args:
        error_at: Makes the errors of the row.
        row: The row of a manifest, whose times have one unit.
        name: "start" or "end".
        video: The whole video.

    Returns:
        The first frame, or the one after the last; None if the row does not say.

    Raises:
        DataError: No such number or time, or one outside of the video.
    """
    for suffix in TIME_UNITS:
        if suffix and (column := name + suffix) in row:
            seconds = seconds_of(error_at, row, column, suffix)
            return frame_at(error_at, f"{column} {row[column]!r}", name, video, seconds)
    if name in row and not re.fullmatch("[0-9]{1,9}", row[name]):
        columns = [name + suffix for suffix in TIME_UNITS if suffix]
        times = f"times go into the column {', '.join(columns[:-1])} or {columns[-1]}"
        raise error_at(f"{name} {row[name]!r}", f"a frame number, from 0 ({times})")
    return int(row[name]) if name in row else None


def frame_at(error_at: ErrorAt, found: str, name: str, video: VideoSource, seconds: float) -> int:
    """Returns the frame at which a clip starts or ends that does so at a time of its video.

    Args:
        error_at: Makes the errors.
        found: The time as it was given, for errors.
        name: "start" or "end".
        video: The whole video.
        seconds: The time, from the first frame on.

    Raises:
        DataError: The time is outside of the video, or its frames have no times.
    """
    timing = _timing(error_at, found.split()[0], video)
    frame = timing.frame_from(seconds)
    if timing.is_past(seconds) if name == "end" else frame >= len(timing.times):
        raise error_at(found, f"a time in the video, {timing}")
    return frame


def number(error_at: ErrorAt, row: Row, name: str, expected: str) -> float | None:
    """Returns a number of a row, 0 or more; None if it has none.

    Raises:
        DataError: It is no such number.
    """
    if name not in row:
        return None
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e9:
        raise error_at(f"{name} {row[name]!r}", expected)
    return value


def seconds_of(error_at: ErrorAt, row: Row, column: str, suffix: str) -> float:
    """Returns the seconds that a column of a row gives, in the unit of a suffix of TIME_UNITS.

    Raises:
        DataError: It is no such time.
    """
    if suffix == "_time":
        if (parts := _CLOCK.fullmatch(row[column])) is None:
            expected = "hours, minutes and seconds from 00:00:00, such as 00:01:12.480"
            raise error_at(f"{column} {row[column]!r}", expected)
        return 3600 * int(parts[1]) + 60 * int(parts[2]) + float(parts[3])
    is_whole = suffix == "_seconds"
    expected = "seconds from 0, such as 12.48" if is_whole else "milliseconds from 0, such as 12480"
    value = number(error_at, row, column, expected) or 0.0
    return value if is_whole else value / 1000


def _timing(error_at: ErrorAt, given: str, video: VideoSource) -> Timing:
    """Returns when the frames of a video begin; raises DataError if that is unknown."""
    if not video.path.is_dir():
        timing = video_timing(video.path, video.path.stat().st_mtime_ns)
        if timing.rate is None and len(timing.times) > 1:
            expected = "the frames' numbers, in start and end"
            raise error_at(f"{given} of a video without a frame rate", expected)
        return timing
    if video.fps is None:
        raise error_at(f"{given} of a folder without a frame rate", "a value for fps")
    return Timing(np.arange(_num_images(video.path)) / video.fps, video.fps, _MICROSECOND)


@lru_cache(maxsize=8)
def _num_images(folder: Path) -> int:
    return len(frame_files(folder))


# Reads the whole file, of which other rows, also of other splits, may be parts. The times of an
# hour at 25 frames a second take 0.7 MB.
@lru_cache(maxsize=1024)
def video_timing(path: Path, modified: int) -> Timing:
    """Returns when the frames of a video begin, by its packets.

    Args:
        path: The video.
        modified: When it was changed, so that a changed one is read again.
    """
    with Video(path) as video:
        times = np.array(video.times())
        check_count(path, len(times), 1)
        return Timing(times - times[0], video.rate, video.tick)
