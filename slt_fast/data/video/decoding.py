"""Decodes video files with PyAV (FFmpeg), and refuses those that FFmpeg finds damaged.

Refused are corrupt packets and frames, errors of the demuxer, and frames that the container lists
but that cannot be decoded. Wrong pictures that FFmpeg does not notice cannot be detected: see
docs/reliability.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TypeVar

import av
import av.logging
import numpy as np
from av.container import InputContainer
from av.stream import Disposition

from slt_fast.data.cameras import Camera
from slt_fast.data.limits import MAX_PIXELS, check_count, check_length, check_pixels
from slt_fast.data.resampling import count_resampled, resampled
from slt_fast.data.video.container import check_complete
from slt_fast.data.video.conversion import Converter
from slt_fast.data.video.ffmpeg import messages, refusing
from slt_fast.errors import DataError, warn_once

# Only files, so that a playlist in the place of a video reaches no network.
_OPTIONS = {"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
# AVFMT_NOTIMESTAMPS: a demuxer of bare streams, for which it invents 25 frames a second.
_NO_TIMESTAMPS = 0x80

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
        with messages() as logged, _opening(path):
            self._container = av.open(
                str(path.resolve()), options=_OPTIONS, metadata_errors="replace"
            )
        self._stream, W, H = _largest_stream(path, self._container)
        with _opening(path):
            self._stream.thread_count = 1  # worker processes read many clips at once
            self._is_raw = bool(self._container.format.flags & _NO_TIMESTAMPS)
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
        stream = self._stream
        with self._refusing("in its frame rate"):
            stated = stream.codec_context.framerate if self._is_raw else stream.average_rate
        rate = float(stated or 0)
        return rate if 1 <= rate <= 1000 else None  # raw DV states 60000

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

    def estimated_frames(self) -> int:
        """Returns the number of listed frames, or of packets; decodes none."""
        return len(self.times()) if self.num_listed is None else self.num_listed

    def pictures(
        self, first: int, end: int | None, rate: float | None, camera: Camera | None = None
    ) -> Iterator[np.ndarray]:
        """Decodes the frames from `first` up to `end` (None: to the end of the video).

        Args:
            first: First frame, from 0.
            end: Frame after the last one; nothing after it is checked.
            rate: Frames per second to resample to; None keeps all frames. A video of unknown rate
                is taken to have this one.
            camera: Takes the frames that are resampled; None means all.

        Yields:
            uint8 [H, W, 3] RGB, upright. Frames of another size than the first are scaled to it.

        Raises:
            DataError: The video is damaged or too short.
        """
        timed = self._frames(first, end)
        if rate is not None and self.rate is None:
            warn_once(f"{self._path}: found no frame rate; it is taken as {rate:.4g} a second")
            rate = None
        frames: Iterator[av.VideoFrame] = (frame for _, frame in timed)
        if rate is not None:
            frames = resampled(timed, rate, self.rate, camera)
        convert = Converter(self._path)
        yield from map(convert, frames)

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
        period = 1 / (self._stated_rate or math.inf)
        last, shift = -math.inf, 0.0
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
        for time, frame in self._timed(islice(self._decoded(first), end)):
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

    def _timed(self, frames: Iterable[av.VideoFrame]) -> Iterator[tuple[float, av.VideoFrame]]:
        """Yields seconds and frame; time goes on where the clock is set back, or has stopped."""
        period = 1 / (self._stated_rate or math.inf)
        last, shift = -math.inf, 0.0
        for frame in frames:
            is_timed = frame.time is not None and not self._is_raw
            time = frame.time + shift if is_timed else max(last, 0.0) + period
            if time < last:  # recordings of broadcasts
                time, shift = last + period, shift + last + period - time
            yield time, frame
            last = time

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


def _opening(path: Path) -> AbstractContextManager[None]:
    return refusing(lambda reason: _no_video(path, f"no video ({reason})"))


def _largest_stream(path: Path, container: InputContainer) -> tuple[av.VideoStream, int, int]:
    """Returns the video stream of the most pixels, its width and its height.

    An attached picture is the cover of a sound.
    """
    with _opening(path):
        videos = container.streams.video
        shown = [video for video in videos if not video.disposition & Disposition.attached_pic]
        # A stream of unknown codec has no context, and no size.
        sized = [(video, video.width, video.height) for video in shown if video.codec_context]
    if not sized:
        found = "a picture attached to sound" if videos else "no pictures"
        raise _no_video(path, "pictures of a codec that FFmpeg does not know" if shown else found)
    largest, W, H = max(sized, key=lambda stream: stream[1] * stream[2])
    if len(shown) > 1:
        warn_once(f"{path}: found {len(shown)} video streams; read the one of {W}x{H} pixels")
    return largest, W, H


def _no_video(path: Path, found: str) -> DataError:
    return DataError(path, found, "a video file or a folder of frames")


def _damaged(path: Path, found: str) -> DataError:
    return DataError(path, found, "a whole video (it is damaged or truncated)")
