"""Decodes video files with PyAV (FFmpeg), and refuses those that FFmpeg finds damaged.

Refused are corrupt packets and frames, errors of the demuxer, and frames that the container lists
but that cannot be decoded. Wrong pictures that FFmpeg does not notice cannot be detected: see
docs/reliability.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TypeVar

import av
import av.logging
import numpy as np

from slt_fast.data.cameras import Camera
from slt_fast.data.limits import check_count, check_length, check_pixels
from slt_fast.data.resampling import count_resampled, timed_moments
from slt_fast.data.video.container import check_complete
from slt_fast.data.video.conversion import Converter
from slt_fast.data.video.ffmpeg import messages, refusing
from slt_fast.data.video.opening import (
    FILE_OPTIONS,
    is_raw,
    largest_stream,
    opening,
    stated_rate,
    timed,
)
from slt_fast.errors import DataError, warn_once

# AVFMT_TS_DISCONT: a transport or program stream, whose clock starts at any time.
_STARTS_ANYWHERE = 0x200

Result = TypeVar("Result")


class Video:
    """An open video file, to be read once; a context manager.

    Args:
        path: The file.

    Raises:
        DataError: The file is not a video, is truncated, or exceeds MAX_PIXELS or MAX_FRAMES.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            found = "a pipe or device" if path.exists() else "no such file"
            raise DataError(path, found, "a video file or a folder of frames")
        self._path, self._listing = path, check_complete(path)
        with messages() as logged, opening(path):
            self._container = av.open(
                str(path.resolve()), options=FILE_OPTIONS, metadata_errors="replace"
            )
        self._stream, W, H = largest_stream(path, self._container)
        with opening(path):
            self._stream.thread_count = 1  # worker processes read many clips at once
            self._is_raw = is_raw(self._container)
        self._times: list[float] | None = None  # once they are read
        self._is_suspect = False  # a transport stream with a corrupt packet
        # FFmpeg reads ahead: these are raised after the frames that come before them.
        self._errors_ahead = self._demuxer_errors(logged)
        check_pixels(path, W, H)
        check_length(path, self.num_listed or 0)

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        with self._refusing("at the end"):
            self._container.close()

    @cached_property
    def num_listed(self) -> int | None:
        """Number of frames that the container lists and shows; None if it lists none."""
        if not self._listing.is_listed or self._listing.num_frames is not None:
            return self._listing.num_frames
        with self._refusing("in its index"):
            entries, num_frames = self._stream.index_entries, max(1, self._stream.frames)
            shows = [entry.size > 0 and not entry.is_discard for entry in entries]
        return None if len(shows) < num_frames else sum(shows)  # None: the index was lost

    @cached_property
    def _stated_rate(self) -> float | None:
        """Frames per second by the container, if plausible."""
        with self._refusing("in its frame rate"):
            return stated_rate(self._stream, raw=self._is_raw)

    @cached_property
    def rate(self) -> float | None:
        """Frames per second on average, by the container if plausible, or its packets' times.

        None if unknown.
        """
        if self._stated_rate is not None or self._is_raw:
            return self._stated_rate
        times = self._times
        if times is None:
            with Video(self._path) as other:  # this one is read once
                times = other.times()
        return (len(times) - 1) / (times[-1] - times[0]) if times and times[-1] > times[0] else None

    @cached_property
    def tick(self) -> float:
        """Seconds of a tick of the clock that frames are timed by."""
        with self._refusing("in its clock"):
            base = self._stream.time_base
        return float(base) if base and not self._is_raw else 1e-6  # FFmpeg's own unit

    @cached_property
    def start(self) -> float:
        """Seconds of the frames' clock at which the video starts, where a player shows 0.

        Most containers start at 0, and their first frame may come later. The clock of a broadcast
        starts anywhere: there the first packet is the start.
        """
        if self._is_raw:
            return self._period
        with self._refusing("in its start"):
            starts_anywhere = self._container.format.flags & _STARTS_ANYWHERE
            return (self._container.start_time or 0) / 1e6 if starts_anywhere else 0.0

    def estimated_frames(self) -> int:
        """Returns the number of listed frames, or of packets; decodes none."""
        return len(self.times()) if self.num_listed is None else self.num_listed

    def pictures(
        self, first: int, end: int | None, rate: float | None, camera: Camera | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Decodes the frames from `first` up to `end` (None: to the end of the video).

        Args:
            first: First frame, from 0.
            end: Frame after the last one; nothing after it is checked.
            rate: Frames per second to resample to; None keeps all frames. A video of unknown rate
                is taken to have this one.
            camera: Takes the frames that are resampled; None means all.

        Yields:
            Seconds from the start of the video, and uint8 [H, W, 3] RGB, upright. Frames of another
            size than the first are scaled to it.

        Raises:
            DataError: The video is damaged or too short.
        """
        frames, start = self._frames(first, end), self.start
        if rate is not None and self.rate is None:
            warn_once(f"{self._path}: found no frame rate; it is taken as {rate:.4g} a second")
            frames = ((start + k / rate, frame) for k, (_, frame) in enumerate(frames, first))
        elif rate is not None:
            frames = timed_moments(frames, rate, self.rate, camera)
        convert = Converter(self._path)
        for time, frame in frames:
            yield time - start, convert(frame)

    def count(
        self, first: int, end: int | None, rate: float | None, camera: Camera | None = None
    ) -> int:
        """Counts what `pictures` yields; decodes only if the container lists no frames."""
        if self.num_listed is None:
            times = [time for time, _ in self._frames(first, end)]
        else:
            check_count(self._path, self.num_listed, first + 1 if end is None else end)
            if rate is None:
                return (self.num_listed if end is None else end) - first
            times = self.times()[first:end]
        if rate is None or self.rate is None:
            return len(times)
        return count_resampled(times, rate, self.rate, camera)

    def times(self) -> list[float]:
        """Returns the seconds at which the frames begin, by their packets; decodes none.

        They go on where the clock is set back.

        Raises:
            DataError: The container is damaged.
        """
        times: list[float] = []
        last, shift, period = -math.inf, 0.0, self._period
        packets = self._container.demux(self._stream)
        while (packet := self._step(lambda: next(packets, None), len(times))) is not None:
            if not packet.size or packet.is_discard:
                continue
            pts, dts = (None, None) if self._is_raw else (packet.pts, packet.dts)
            if dts is not None:
                time = float(dts * packet.time_base) + shift
                if time < last:
                    time, shift = last + period, shift + last + period - time
                last = time
            elif pts is None:
                last = max(last, 0.0) + period
            times.append(last if pts is None else float(pts * packet.time_base) + shift)
            check_length(self._path, len(times))
        self._times = sorted(times)
        return self._times

    def _frames(self, first: int, end: int | None) -> Iterator[tuple[float, av.VideoFrame]]:
        """Decodes all frames up to `end`: seeking lands on the wrong one in some codecs.

        Yields:
            Seconds and frame, from `first` on.
        """
        total, last = 0, math.inf
        decoded = islice(self._decoded(first), end)
        for time, frame in timed(decoded, self._period, raw=self._is_raw):
            check_length(self._path, total + 1)
            if total >= first:
                if frame.is_corrupt:
                    raise _damaged(self._path, f"frame {total} corrupt")
                self._check_gap(time - last, total)
                yield time, frame
            total, last = total + 1, time
        check_count(self._path, total, first + 1 if end is None else end)
        if end is None:
            self._check_end(total)

    def _decoded(self, first: int) -> Iterator[av.VideoFrame]:
        packets, total = self._container.demux(self._stream), 0
        while (packet := self._step(lambda: next(packets, None), total)) is not None:
            if packet.is_corrupt and total >= first:
                if self._container.format.name != "mpegts":
                    raise _damaged(self._path, f"a corrupt packet after {total} frames")
                self._is_suspect = True
            for frame in self._step(packet.decode, total):
                yield frame
                total += 1

    @property
    def _period(self) -> float:
        """Seconds of a frame by the container; 0 if unknown."""
        return 1 / (self._stated_rate or math.inf)

    def _check_gap(self, seconds: float, total: int) -> None:
        """Raises DataError if frames are missing near a corrupt packet of a transport stream.

        FFmpeg also marks the packet before a joint of two streams; nothing is missing there.
        """
        if self._is_suspect and seconds > 1.5 / (self._stated_rate or 25):
            found = f"a corrupt packet, and no frames for {seconds:.2f} seconds after {total}"
            raise _damaged(self._path, found)

    def _step(self, work: Callable[[], Result], total: int) -> Result:
        """Lets FFmpeg work; raises DataError if it or its demuxer finds an error."""
        with messages() as logged, self._refusing(f"after {total} frames"):
            result = work()
        for message in self._demuxer_errors(logged):
            raise _damaged(self._path, f"{message!r} after {total} frames")
        return result

    def _refusing(self, when: str) -> AbstractContextManager[None]:
        return refusing(lambda reason: _damaged(self._path, f"{reason} {when}"))

    def _check_end(self, total: int) -> None:
        for message in self._errors_ahead:
            raise _damaged(self._path, f"{message!r}, and {total} frames")
        if total < (self.num_listed or 0):
            expected = f"{self.num_listed}, as its container lists (the video is damaged)"
            raise DataError(self._path, f"{total} frames that can be decoded", expected)

    def _demuxer_errors(self, logged: list[tuple[int, str, str]]) -> list[str]:
        """Returns the errors of the demuxer; decoders also report what is no damage."""
        name = self._container.format.name
        return [
            text.strip()
            for level, source, text in logged
            if level <= av.logging.ERROR and source == name
        ]


def _damaged(path: Path, found: str) -> DataError:
    return DataError(path, found, "a whole video (it is damaged or truncated)")
