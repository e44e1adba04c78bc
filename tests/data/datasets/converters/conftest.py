"""Data sets in small, made up: ten rows each, in the layouts that the converters read."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.datasets.converters.conversion import Conversion
from slt_fast.data.datasets.manifest import manifest_splits, read_manifest
from slt_fast.errors import ErrorHandler


@pytest.fixture
def write_video() -> Callable[..., None]:
    """Writes a video of 64x48 pixels, 25 frames a second."""

    def write(path: Path, num_frames: int = 50) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
        for number in range(num_frames):
            writer.write(np.full((48, 64, 3), number, np.uint8))
        writer.release()

    return write


@pytest.fixture
def write_text() -> Callable[[Path, list[str]], Path]:
    def write(path: Path, lines: list[str]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
        return path

    return write


@pytest.fixture
def clips_of() -> Callable[..., tuple[Conversion, dict[str, AnnotatedClip]]]:
    """Converts a data set, and reads the manifest: the conversion, and the clips by their ids."""

    def convert(
        converter: Callable[[Conversion], None], root: Path, on_error: ErrorHandler | None = None
    ) -> tuple[Conversion, dict[str, AnnotatedClip]]:
        conversion = Conversion(root, root.parent, on_error)
        converter(conversion)
        path = root.parent / "manifest.tsv"
        path.write_text(conversion.manifest(), encoding="utf-8")
        clips = [clip for split in manifest_splits(path) for clip in read_manifest(path, split)]
        return conversion, {clip.id: clip for clip in clips}

    return convert
