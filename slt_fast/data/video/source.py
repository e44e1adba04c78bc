"""Frames of a video file or of a folder of images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from slt_fast.data.video.decoding import (
    check_count,
    count_video_frames,
    estimate_video_frames,
    video_frame_rate,
    video_images,
)
from slt_fast.errors import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class VideoSource:
    """A video file of any container OpenCV opens, or a folder of png or jpg frames; a FrameSource.

    Args:
        path: The file or folder.
        start: First frame, from 0; None means 0.
        end: Frame after the last one; None means to the end.
        fps: Frames per second where the path cannot tell, as for a folder. Kept as information:
            start and end count frames, and frames are never resampled.

    Raises:
        DataError: If start and end are not 0 <= start < end.
    """

    path: Path
    start: int | None = None
    end: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self._first < 0 or (self.end is not None and self.end <= self._first):
            raise DataError(
                self.path, f"start {self._first} and end {self.end}", "0 <= start < end"
            )

    @property
    def name(self) -> str:
        """The path, as errors name it."""
        return str(self.path)

    @property
    def _first(self) -> int:
        return self.start or 0

    def read(self) -> np.ndarray:
        """Decode the frames.

        Returns:
            uint8 [T, H, W, 3] RGB.

        Raises:
            DataError: If the source is missing, truncated, damaged, shorter than `end`, or if its
                frames differ in size.
        """
        if self.path.is_dir():
            return _pack(_folder_images(self.path, self._first, self.end))
        images = video_images(self.path, self._first, self.end)
        return _pack((self.path, image) for image in images)

    def num_frames(self) -> int:
        """How many frames `read` returns, from the folder listing or the container.

        Containers that do not list their frames are decoded to count.

        Raises:
            DataError: If the source is missing, unreadable or shorter than `end`.
        """
        if self.path.is_dir():
            total = len(frame_files(self.path))
        else:
            total = count_video_frames(self.path, self.end)
        check_count(self.path, total, self._first + 1 if self.end is None else self.end)
        return (total if self.end is None else self.end) - self._first

    def estimated_frames(self) -> int:
        """About how many frames `read` returns, told without decoding any.

        Raises:
            DataError: If the source is missing or unreadable.
        """
        if self.end is not None:
            return self.end - self._first
        if self.path.is_dir():
            total = len(frame_files(self.path))
        else:
            total = estimate_video_frames(self.path)
        return max(total - self._first, 0)

    def frame_rate(self) -> float | None:
        """Returns the frames per second: `fps` if given, or as the video's container says.

        Raises:
            DataError: If the source is missing or unreadable.
        """
        if self.fps is not None or self.path.is_dir():
            return self.fps
        return video_frame_rate(self.path)


def _folder_images(path: Path, first: int, end: int | None) -> Iterator[tuple[Path, np.ndarray]]:
    """(file, BGR image) of each frame of a folder."""
    files = frame_files(path)
    check_count(path, len(files), first + 1 if end is None else end)
    for file in files[first:end]:
        yield file, _read_image(file)


def _pack(images: Iterable[tuple[Path, np.ndarray]]) -> np.ndarray:
    """BGR images of one size as RGB frames; np.stack would hold all of them twice."""
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


def frame_files(folder: Path) -> list[Path]:
    """Frames of a folder by name, numbers by value; jpg counts only where there is no png.

    Hidden files are left out: macOS archives hold a broken "._name.png" beside each image.
    """
    files = [file for file in folder.iterdir() if not file.name.startswith(".")]
    for suffixes in (IMAGE_SUFFIXES[:1], IMAGE_SUFFIXES[1:]):
        frames = [file for file in files if file.suffix.lower() in suffixes]
        if frames:
            return sorted(frames, key=lambda file: natural_key(file.name))
    raise DataError(folder, "no images", "a folder of png or jpg frames")


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sorts names by the value of the numbers in them."""
    parts = re.findall(r"([0-9]*)([^0-9]*)", name)
    return [(int(number or 0), text) for number, text in parts]


def _read_image(file: Path) -> np.ndarray:
    content = file.read_bytes()
    # OpenCV fills the missing part of a truncated JPEG with grey.
    truncated = file.suffix.lower() != ".png" and b"\xff\xd9" not in content
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # an empty file, or a size beyond what OpenCV takes
        image = None
    if image is None or truncated:
        raise DataError(file, "a broken or truncated image", "a whole png or jpg image")
    return image


def _size(image: np.ndarray) -> str:
    return f"a frame of {image.shape[1]}x{image.shape[0]} pixels"
