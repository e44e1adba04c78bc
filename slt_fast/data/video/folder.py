"""Frames of a folder of images."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from slt_fast.data.video.decoding import check_count
from slt_fast.errors import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def frame_files(folder: Path) -> list[Path]:
    """Lists the frames of a folder by name, numbers by value; jpg counts only if there is no png.

    Hidden files are left out: macOS archives hold a broken "._name.png" beside each image.

    Raises:
        DataError: The folder has no frames.
        OSError: The folder cannot be read.
    """
    files = [file for file in folder.iterdir() if not file.name.startswith(".")]
    for suffixes in (IMAGE_SUFFIXES[:1], IMAGE_SUFFIXES[1:]):
        frames = [file for file in files if file.suffix.lower() in suffixes]
        if frames:
            return sorted(frames, key=lambda file: natural_key(file.name))
    raise DataError(folder, "no images", "a folder of png or jpg frames")


def folder_images(folder: Path, first: int, end: int | None) -> Iterator[tuple[Path, np.ndarray]]:
    """Yields file and image (uint8 [H, W, 3] BGR) of each frame from `first` up to `end`.

    Raises:
        DataError: The folder is too short, or an image is broken.
    """
    files = frame_files(folder)
    check_count(folder, len(files), first + 1 if end is None else end)
    for file in files[first:end]:
        yield file, _read_image(file)


def folder_state(folder: Path, start: int | None, end: int | None) -> dict[str, Any]:
    """Returns the state of a folder for its identity: names and bytes of the frames.

    Their times are left out, because a plain copy of the data set changes them.
    """
    frames = frame_files(folder)[start:end]
    listed = "\n".join(f"{frame.name} {frame.stat().st_size}" for frame in frames)
    return {"frames": len(frames), "sha256": hashlib.sha256(listed.encode()).hexdigest()}


def natural_key(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts names by the value of the numbers in them."""
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
