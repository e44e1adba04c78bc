"""Frames of a video file or of a folder of images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from slt_fast.data.container import check_complete
from slt_fast.data.errors import DataError

# The frame counts of other containers are estimates (duration times frame rate), or missing.
_COUNTED_SUFFIXES = (".avi", ".gif", ".m4v", ".mov", ".mp4")


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
            DataError: If the source is missing, truncated or broken, shorter than `end`, or if its
                frames differ in size.
        """
        frames: list[np.ndarray] = []
        images = _folder_images if self.path.is_dir() else _video_images
        for path, image in images(self.path, self._first, self.end):
            if frames and image.shape != frames[0].shape:
                raise DataError(
                    path, _size(image), f"{_size(frames[0])} as in the frames before it"
                )
            frames.append(_to_rgb(image))
        self._check_range(self._first + len(frames))
        return np.stack(frames)

    def num_frames(self) -> int:
        """How many frames `read` returns, from the folder listing or the container.

        An MP4 that was trimmed by an edit list yields fewer frames than its container declares.
        Containers without an exact count are decoded to count.

        Raises:
            DataError: If the source is missing, unreadable or shorter than `end`.
        """
        total = (
            len(_frame_files(self.path)) if self.path.is_dir() else _count_video_frames(self.path)
        )
        self._check_range(total)
        return (total if self.end is None else self.end) - self._first

    def _check_range(self, total: int) -> None:
        _check_count(self.path, total, self._first + 1 if self.end is None else self.end)


def _check_count(path: Path, total: int, needed: int) -> None:
    if total < needed:
        raise DataError(path, f"{total} frames", f"at least {needed}")


def _folder_images(path: Path, first: int, end: int | None) -> Iterator[tuple[Path, np.ndarray]]:
    """(file, BGR image) of each frame of a folder."""
    files = _frame_files(path)
    _check_count(path, len(files), first + 1)
    for file in files[first:end]:
        yield file, _read_image(file)


def _video_images(path: Path, first: int, end: int | None) -> Iterator[tuple[Path, np.ndarray]]:
    """(video, BGR image) of each frame of a video."""
    capture = _open(path)
    for index in range(
        first
    ):  # seeking would be quicker, but lands on the wrong frame in some codecs
        if not capture.grab():
            _check_count(path, index, first + 1)
    index = first
    while end is None or index < end:
        decoded, image = capture.read()
        if not decoded:
            return
        yield path, image
        index += 1


def _count_video_frames(path: Path) -> int:
    capture = _open(path)
    declared = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if path.suffix.lower() in _COUNTED_SUFFIXES and declared > 0:
        return declared
    counted = 0
    while capture.grab():
        counted += 1
    return counted


def _open(path: Path) -> cv2.VideoCapture:
    if not path.is_file():
        raise DataError(path, "no such file", "a video file or a folder of frames")
    check_complete(path)
    # FFmpeg by name: the other backends take digits in a name for a pattern of image files. One
    # decoding thread: many clips are read at once by worker processes.
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise DataError(path, "no video that can be decoded", "a video file or a folder of frames")
    return capture


def _frame_files(folder: Path) -> list[Path]:
    """Frames of a folder by name, numbers by value; jpg counts only where there is no png.

    Hidden files are left out: macOS archives hold a broken "._name.png" beside each image.
    """
    files = [file for file in folder.iterdir() if not file.name.startswith(".")]
    for suffixes in ((".png",), (".jpg", ".jpeg")):
        frames = [file for file in files if file.suffix.lower() in suffixes]
        if frames:
            return sorted(frames, key=_natural_key)
    raise DataError(folder, "no images", "a folder of png or jpg frames")


def _natural_key(file: Path) -> list[tuple[int, str]]:
    parts = re.findall(r"([0-9]*)([^0-9]*)", file.name)
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


def _to_rgb(image: np.ndarray) -> np.ndarray:
    """BGR to RGB without OpenCV's thread pool, which each worker would start for cvtColor."""
    rgb = np.empty_like(image)
    cv2.mixChannels([image], [rgb], [0, 2, 1, 1, 2, 0])
    return rgb


def _size(image: np.ndarray) -> str:
    return f"a frame of {image.shape[1]}x{image.shape[0]} pixels"
