"""Frames of a video file or of a folder of images, as a source of a clip."""

from __future__ import annotations

import math
import operator
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, SupportsIndex

import cv2
import numpy as np

from slt_fast.data.cameras import Camera
from slt_fast.data.crop import Crop, cropped
from slt_fast.data.frame_source import FrameSource, Identity, join
from slt_fast.data.frames.folder import folder_images, folder_state, frame_files
from slt_fast.data.limits import check_count, check_length
from slt_fast.data.resampling import count_resampled, timed_moments
from slt_fast.data.video.decoding import Video
from slt_fast.errors import DataError, warn_once


@dataclass(frozen=True)
class VideoSource:
    """A video file that FFmpeg decodes, or a folder of png or jpg frames; a FrameSource.

    Args:
        path: The file or folder.
        start: First frame, from 0; None means 0.
        end: Frame after the last one; None means to the end.
        fps: Frames per second of a folder; None if unknown. A video has timestamps instead.
        rate: Frames per second to resample to, after start and end are applied; None keeps all
            frames. A folder of unknown rate is taken to have this one.
        camera: Takes the frames that are resampled to `rate`; None means all.
        crop: Box of the upright pictures that is shown; None shows all of them.

    Raises:
        DataError: Start is below 0, or end is not after it.
        TypeError: Start or end is no whole number.
    """

    path: Path
    start: int | None = None
    end: int | None = None
    fps: float | None = None
    rate: float | None = None
    camera: Camera | None = None
    crop: Crop | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        for name in ("start", "end"):
            object.__setattr__(self, name, _frame_number(name, getattr(self, name)))
        if self._first < 0:
            raise DataError(self.path, f"start {self._first}", "0 or more")
        if self.end is not None and self.end <= self._first:
            raise DataError(self.path, f"start {self._first} and end {self.end}", "a later end")

    @property
    def name(self) -> str:
        """Path, as errors name it."""
        return str(self.path)

    @property
    def _first(self) -> int:
        return self.start or 0

    def frames(self) -> Iterator[np.ndarray]:
        """Decodes the frames one by one; warns of a clip in which nothing moves.

        Yields:
            uint8 [H, W, 3] RGB, all of one size.

        Raises:
            DataError: The source is missing, truncated, damaged, or shorter than `end`, the images
                of a folder differ in size, or the crop box is not inside of the frames.
        """
        return (frame for _, frame in self.timed_frames())

    def timed_frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Decodes the frames with their times; raises and warns as `frames` does.

        Yields:
            Seconds from the start of the whole video, where a player shows 0, and the frame. They
            are NaN for a folder of unknown rate that is not resampled.
        """
        times: deque[float] = deque()

        def pictures() -> Iterator[np.ndarray]:
            for time, picture in self._pictures():
                times.append(time)
                yield picture

        for frame in _watched(self.path, cropped(pictures(), self.crop, self.path)):
            yield times.popleft(), frame

    def read(self) -> np.ndarray:
        """Decodes all frames, uint8 [T, H, W, 3] RGB; raises as `frames` does."""
        return join(frame[None] for frame in self.frames())

    def picture_size(self) -> tuple[int, int]:
        """Returns height and width before cropping, of the first frame, which is decoded.

        Raises:
            DataError: The source is missing or unreadable.
        """
        H, W = next(self._pictures())[1].shape[:2]
        return H, W

    def num_frames(self) -> int:
        """Counts the frames that `read` returns, from the folder's names or the container.

        Containers that do not list their frames are decoded to count.

        Raises:
            DataError: The source is missing, unreadable or shorter than `end`.
        """
        if not self.path.is_dir():
            with Video(self.path) as video:
                return video.count(self._first, self.end, self.rate, self.camera)
        total = len(frame_files(self.path))
        check_count(self.path, total, self._first + 1 if self.end is None else self.end)
        total = (total if self.end is None else self.end) - self._first
        if (timing := self._folder_timing()) is None:
            return total
        rate, own = timing
        return count_resampled([k / own for k in range(total)], rate, own, self.camera)

    def estimated_frames(self) -> int:
        """Estimates the number of frames without decoding any.

        Raises:
            DataError: The source is missing or unreadable.
        """
        own = self.fps
        if self.path.is_dir():
            total = len(frame_files(self.path))
        else:
            with Video(self.path) as video:
                total, own = video.estimated_frames(), video.rate
        total = max((total if self.end is None else self.end) - self._first, 0)
        return total if self.rate is None or own is None else round(total * self.rate / own)

    def frame_rate(self) -> float | None:
        """Returns the frames per second before resampling; None if unknown.

        Raises:
            DataError: The source is missing or unreadable.
        """
        if self.path.is_dir():
            return self.fps
        with Video(self.path) as video:
            return video.rate

    def at_rate(self, rate: float, camera: Camera | None = None) -> VideoSource:
        """Returns the source resampled to a number of frames per second, as FrameSource says."""
        return replace(self, rate=rate, camera=camera)

    def place(self, data_root: Path) -> tuple[str, dict[str, Any]]:
        """Returns the path in the data set, and with it range, rate and crop box of the frames."""
        path = Path(os.path.relpath(self.path, data_root)).as_posix()
        place: dict[str, Any] = {"path": path, "start": self._first, "end": self.end}
        if self.rate is not None:
            place |= {"rate": self.rate, "fps": self.fps}
        if self.camera is not None:
            place["camera"] = asdict(self.camera)
        if self.crop is not None:
            place["crop"] = asdict(self.crop)
        return path, place

    def identity(self, data_root: Path) -> Identity:
        """Returns place and state; raises as FrameSource says."""
        if self.path.is_dir():
            state = folder_state(self.path, self.start, self.end)
        else:
            status = self.path.stat()
            state = {
                "bytes": status.st_size,
                "modified": int(status.st_mtime),
                "decoder": "pyav",  # version 0.1 decoded with OpenCV: some frames differed
            }
        return Identity(*self.place(data_root), state)

    def neutral(self) -> FrameSource | None:
        """Returns None: a recorded face stays as it is."""
        return None

    def _pictures(self) -> Iterator[tuple[float, np.ndarray]]:
        return self._folder() if self.path.is_dir() else self._video()

    def _video(self) -> Iterator[tuple[float, np.ndarray]]:
        with Video(self.path) as video:
            yield from video.pictures(self._first, self.end, self.rate, self.camera)

    def _folder(self) -> Iterator[tuple[float, np.ndarray]]:
        own = self.fps or self.rate or math.nan
        images = _folder_frames(self.path, self._first, self.end)
        timed = ((k / own, image) for k, image in enumerate(images, self._first))
        if (timing := self._folder_timing()) is None:
            return timed
        return timed_moments(timed, *timing, self.camera)

    def _folder_timing(self) -> tuple[float, float] | None:
        """Returns the rate to resample a folder to and its own; None if all frames are kept."""
        if self.rate is None or (self.fps is None and self.camera is None):
            return None
        return self.rate, self.fps or self.rate


def _frame_number(name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"VideoSource: found {name} {value!r}; expected a whole number or None")
    return operator.index(value)


def _folder_frames(path: Path, first: int, end: int | None) -> Iterator[np.ndarray]:
    """Yields the images of a folder as RGB frames of one size."""
    size = None
    try:
        for file, image in folder_images(path, first, end):
            if size is not None and image.shape != size.shape:
                raise DataError(file, _size(image), f"{_size(size)} as in the frames before it")
            size, frame = image, np.empty_like(image)
            # BGR to RGB without OpenCV's thread pool, which each worker would start for cvtColor.
            cv2.mixChannels([image], [frame], [0, 2, 1, 1, 2, 0])
            yield frame
    except cv2.error as error:
        raise DataError(path, " ".join(str(error).split()), "frames OpenCV can read") from error


def _watched(path: Path, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the frames; warns of a clip in which nothing moves."""
    count, first, is_still = 0, np.empty(0), True
    for count, frame in enumerate(frames, 1):  # noqa: B007
        check_length(path, count)
        first = frame if count == 1 else first
        is_still = is_still and np.array_equal(frame, first)
        yield frame
    if count and is_still:
        warn_once(f"{path}: found {_describe(count, first)}; nothing moves, so nothing is signed")


def _describe(count: int, frame: np.ndarray) -> str:
    if count == 1:
        return "a single frame"
    return f"{count} {'identical' if frame.any() else 'black'} frames"


def _size(image: np.ndarray) -> str:
    return f"a frame of {image.shape[1]}x{image.shape[0]} pixels"
