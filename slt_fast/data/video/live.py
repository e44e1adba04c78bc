"""Reads cameras, addresses, FIFOs and standard input: frames that come while they are needed.

A thread reads, so that Ctrl-C is seen while nothing comes, and the next frames are decoded during
the translation. It holds few frames. When these wait, a camera or a broadcast goes on: its frames
are dropped, and counted. A file, a FIFO, standard input or a download is slowed down instead.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from slt_fast.data.limits import MAX_PIXELS, check_pixels
from slt_fast.data.video.conversion import Converter
from slt_fast.data.video.ffmpeg import refusing
from slt_fast.data.video.opening import (
    FILE_OPTIONS,
    is_raw,
    largest_stream,
    opening,
    stated_rate,
    timed,
)
from slt_fast.errors import DataError, warn_once

# What is sent whether or not it is read.
_SENT_ANYWAY = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srtp", "udp", "srt")
_MOST_FRAMES, _MOST_BYTES = 50, 2**28  # that wait
_SILENCE = 30.0  # seconds after which a camera or an address counts as lost
_UNKNOWN_RATE = 25  # of a bare stream that states none; FFmpeg takes the same
_POLL = 0.1  # seconds between two looks at whether to stop
_END = None

Timed = tuple[float, np.ndarray]


@dataclass(frozen=True)
class LiveSource:
    """Where frames come from.

    Args:
        name: Name in errors.
        place: What FFmpeg opens.
        format: FFmpeg's format; None finds it.
        options: FFmpeg's options.
        drops: Whether frames are dropped if nobody takes them in time.
    """

    name: str
    place: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    drops: bool = True

    @classmethod
    def camera(cls, number: int) -> LiveSource:
        """Returns a camera of Linux (Video4Linux), by the number in its name, /dev/video0.

        Raises:
            DataError: There is no such camera.
        """
        place = Path(f"/dev/video{number}")
        if not place.exists():
            found = sorted(str(path) for path in Path("/dev").glob("video*")) or ["none at all"]
            expected = f"the number of a camera ({', '.join(found)})"
            raise DataError(place, "no such camera", expected)
        return cls(str(place), str(place), "v4l2")

    @classmethod
    def at(cls, address: str) -> LiveSource:
        """Returns the source at a URL, or the path of a FIFO or file; "-" is standard input.

        Raises:
            DataError: There is nothing at the path.
        """
        scheme, separator, _ = address.partition("://")
        if separator:
            return cls(address, address, drops=scheme.lower() in _SENT_ANYWAY)
        if address == "-":
            options = {**FILE_OPTIONS, "protocol_whitelist": "pipe"}
            return cls("standard input", "pipe:0", options=options, drops=False)
        path = Path(address).expanduser()
        if not path.exists() or path.is_dir():
            expected = "a URL, the path of a FIFO or video, or - for standard input"
            raise DataError(address, "a folder" if path.is_dir() else "nothing", expected)
        return cls(address, str(path.resolve()), options=FILE_OPTIONS, drops=False)


class LiveReader:
    """Reads a source in a thread, until it ends or is stopped; a context manager.

    Args:
        source: Where frames come from.

    Attributes:
        num_dropped: Frames that were dropped so far, because others were waiting.
        seconds: Seconds of video that were taken so far.
    """

    def __init__(self, source: LiveSource) -> None:
        self.source, self.num_dropped, self.seconds = source, 0, 0.0
        self._stopped, self._opened = threading.Event(), threading.Event()
        self._rate: float | None = None
        self._error: BaseException | None = None
        self._waiting: queue.Queue[Timed | None] = queue.Queue(_MOST_FRAMES)
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> LiveReader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(_POLL)  # it may wait for its source, and is left there

    def stop(self) -> None:
        """Ends `frames` after those that were taken; may be called by a signal's handler."""
        self._stopped.set()

    @property
    def is_stopped(self) -> bool:
        """Returns True if `stop` was called."""
        return self._stopped.is_set()

    @property
    def is_late(self) -> bool:
        """Returns True if frames wait that would be dropped soon."""
        return self.source.drops and self._waiting.qsize() > self._waiting.maxsize // 4

    def frame_rate(self) -> float | None:
        """Returns the frames per second that the source states, once it is open; None if none."""
        while not self._opened.wait(_POLL) and not self.is_stopped:
            pass
        return self._rate

    def frames(self) -> Iterator[Timed]:
        """Yields seconds from the first frame on, and frame, uint8 [H, W, 3] RGB of one size.

        They end with the source, or after `stop`. An error of the source is left to `check`, so
        that what was seen before it can be translated.
        """
        while not self.is_stopped:
            try:
                item = self._waiting.get(timeout=_POLL)
            except queue.Empty:
                continue
            if item is _END:
                return
            self.seconds = item[0]
            yield item

    def check(self) -> None:
        """Raises the error that ended the frames, if one did.

        Raises:
            DataError: The source cannot be read, or is damaged.
        """
        if self._error is not None and not self.is_stopped:
            raise self._error

    def _read(self) -> None:
        try:
            self._read_frames()
        except BaseException as error:  # handed on to the thread that takes the frames
            self._error = error
        finally:
            self._opened.set()
            self._put(_END, waits=True)

    def _read_frames(self) -> None:
        name, options = self.source.name, {"max_pixels": str(MAX_PIXELS), **self.source.options}
        timeout = _SILENCE if self.source.drops else None
        with opening(name):
            container = av.open(
                self.source.place,
                format=self.source.format,
                options=options,
                timeout=timeout,
                metadata_errors="replace",
            )
        with container:
            stream, W, H = largest_stream(name, container)
            check_pixels(Path(name), W, H)
            raw = is_raw(container)
            self._rate = stated_rate(stream, raw=raw)
            most = max(2, min(_MOST_FRAMES, _MOST_BYTES // max(1, 3 * W * H)))
            self._waiting = queue.Queue(most)
            self._opened.set()
            if raw and self._rate is None:
                warn_once(f"{name}: found no frame rate; it is taken as {_UNKNOWN_RATE} a second")
            convert, start = Converter(Path(name)), None
            frames = self._decoded(container, stream)
            for time, frame in timed(frames, 1 / (self._rate or _UNKNOWN_RATE), raw=raw):
                start = time if start is None else start
                self._put((time - start, convert(frame)), waits=not self.source.drops)
                if self.is_stopped:
                    return

    def _decoded(
        self, container: InputContainer, stream: av.VideoStream
    ) -> Iterator[av.VideoFrame]:
        """Decodes frames; raises DataError for damage, which broadcasts may have a little of."""
        packets, total = container.demux(stream), 0
        while True:
            with self._refusing(f"after {total} frames"):
                packet = next(packets, None)
            if packet is None:
                return
            frames: list[av.VideoFrame] = []
            try:
                with self._refusing(f"after {total} frames"):
                    frames = packet.decode()
            except DataError as error:
                if not self.source.drops:
                    raise
                warn_once(f"{self.source.name}: left out frames that cannot be decoded: {error}")
            total += len(frames)
            yield from frames

    def _refusing(self, when: str) -> AbstractContextManager[None]:
        name = self.source.name
        return refusing(lambda reason: DataError(name, f"{reason} {when}", "a video that goes on"))

    def _put(self, item: Timed | None, *, waits: bool) -> None:
        while not self.is_stopped:
            try:
                self._waiting.put(item, timeout=_POLL) if waits else self._waiting.put_nowait(item)
                return
            except queue.Full:
                if not waits:
                    self.num_dropped += 1
                    return
