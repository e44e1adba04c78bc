"""Frames of a video file or of a folder of images, as a source of a clip."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex

import cv2
import numpy as np

from slt_fast.data.frame_source import FrameSource, Identity
from slt_fast.data.frames.folder import folder_images, folder_state, frame_files
from slt_fast.data.video.decoding import (
    check_count,
    count_video_frames,
    estimate_video_frames,
    opencv_errors,
    video_frame_rate,
    video_images,
)
from slt_fast.errors import DataError


@dataclass(frozen=True)
class VideoSource:
    """A video file of any container OpenCV opens, or a folder of png or jpg frames; a FrameSource.

    Args:
        path: The file or folder.
        start: First frame, from 0; None means 0.
        end: Frame after the last one; None means to the end.
        fps: Frames per second if the path does not say, as for a folder. Kept as information:
            start and end count frames, and frames are never resampled.

    Raises:
        DataError: Start is below 0, or end is not after it.
        TypeError: Start or end is no whole number.
    """

    path: Path
    start: int | None = None
    end: int | None = None
    fps: float | None = None

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

    def read(self) -> np.ndarray:
        """Decodes the frames.

        Returns:
            uint8 [T, H, W, 3] RGB.

        Raises:
            DataError: The source is missing, truncated, damaged, or shorter than `end`, or its
                frames differ in size.
        """
        with opencv_errors(self.path):
            return _pack(self._images())

    def num_frames(self) -> int:
        """Counts the frames that `read` returns, from the folder's names or the container.

        Containers that do not list their frames are decoded to count.

        Raises:
            DataError: The source is missing, unreadable or shorter than `end`.
        """
        with opencv_errors(self.path):
            if self.path.is_dir():
                total = len(frame_files(self.path))
            else:
                total = count_video_frames(self.path, self.end)
        check_count(self.path, total, self._first + 1 if self.end is None else self.end)
        return (total if self.end is None else self.end) - self._first

    def estimated_frames(self) -> int:
        """Estimates the number of frames without decoding any.

        Raises:
            DataError: The source is missing or unreadable.
        """
        if self.end is not None:
            return self.end - self._first
        with opencv_errors(self.path):
            if self.path.is_dir():
                total = len(frame_files(self.path))
            else:
                total = estimate_video_frames(self.path)
        return max(total - self._first, 0)

    def place(self, data_root: Path) -> tuple[str, dict[str, Any]]:
        """Returns the path in the data set, and with it the range of the frames."""
        path = Path(os.path.relpath(self.path, data_root)).as_posix()
        return path, {"path": path, "start": self._first, "end": self.end}

    def frame_rate(self) -> float | None:
        """Returns the frames per second: `fps` if given, or as the video's container says.

        Raises:
            DataError: The source is missing or unreadable.
        """
        if self.fps is not None or self.path.is_dir():
            return self.fps
        with opencv_errors(self.path):
            return video_frame_rate(self.path)

    def identity(self, data_root: Path) -> Identity:
        """Returns place and state; raises as FrameSource says."""
        if self.path.is_dir():
            state = folder_state(self.path, self.start, self.end)
        else:
            status = self.path.stat()
            state = {"bytes": status.st_size, "modified": int(status.st_mtime)}
        return Identity(*self.place(data_root), state)

    def neutral(self) -> FrameSource | None:
        """Returns None: a recorded face stays as it is."""
        return None

    def _images(self) -> Iterator[tuple[Path, np.ndarray]]:
        """Yields file and BGR image of each frame."""
        if self.path.is_dir():
            return folder_images(self.path, self._first, self.end)
        return ((self.path, image) for image in video_images(self.path, self._first, self.end))


def _frame_number(name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"VideoSource: found {name} {value!r}; expected a whole number or None")
    return operator.index(value)


def _pack(images: Iterable[tuple[Path, np.ndarray]]) -> np.ndarray:
    """Packs BGR images of one size as RGB frames; np.stack would hold all of them twice."""
    frames, count = np.empty((0, 0, 0, 3), np.uint8), 0
    for path, image in images:
        if count and image.shape != frames.shape[1:]:
            raise DataError(path, _size(image), f"{_size(frames[0])} as in the frames before it")
        if count == len(frames):
            frames.resize((count + count // 4 + 16, *image.shape), refcheck=False)
        # BGR to RGB without OpenCV's thread pool, which each worker would start for cvtColor.
        cv2.mixChannels([image], [frames[count]], [0, 2, 1, 1, 2, 0])
        count += 1
    frames.resize((count, *frames.shape[1:]), refcheck=False)
    return frames


def _size(image: np.ndarray) -> str:
    return f"a frame of {image.shape[1]}x{image.shape[0]} pixels"
