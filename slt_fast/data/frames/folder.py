"""Finds the frames of a clip in a folder: images that are numbered in one way."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np

from slt_fast.data.frames.image import image_type, read_image
from slt_fast.data.limits import check_count, check_length
from slt_fast.errors import DataError, warn_once

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".wmv", ".flv", ".3gp", ".ogv", ".m2ts", ".m2t", ".vob", ".m1v", ".m2v", ".mpe", ".mpv"),
    *(".mxf", ".asf", ".ivf", ".dv", ".dif", ".mjpeg", ".mjpg", ".mj2", ".qt", ".rm", ".rmvb"),
    *(".h261", ".h263", ".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".h266", ".266", ".vvc"),
    *(".obu", ".vc1", ".y4m", ".f4v", ".3g2", ".3gpp", ".ogm", ".divx", ".mk3d", ".nut", ".wtv"),
)
_FRAME_TYPES = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg"}
_OTHER_TYPES = {
    **{".tif": "tif", ".tiff": "tif", ".webp": "webp", ".bmp": "bmp", ".jp2": "jp2"},
    **{".avif": "avif", ".heic": "heic", ".exr": "exr", ".ppm": "ppm", ".pgm": "pgm"},
}
# Files beside videos and frames that are known to be neither.
_SIDE_SUFFIXES = (
    *(".txt", ".json", ".jsonl", ".csv", ".tsv", ".srt", ".vtt", ".xml", ".md"),
    *(".eaf", ".html", ".log", ".yaml", ".yml"),
    *(".db", ".ini"),  # Thumbs.db and desktop.ini of Windows
)
_EXPECTED = "a folder of png or jpg frames"


def frame_files(folder: Path) -> list[Path]:
    """Lists the frames of a folder, or of its only subfolder, by their numbers.

    Frames are the images whose names differ in numbers only. Single images of other names are left
    out with a warning; missing numbers get one, too. Hidden files are ignored: macOS archives hold
    a broken "._name.png" beside each image.

    Raises:
        DataError: There are no images, too many, or videos among them; or a single one is beside
            files of unknown kind, or half of them are of
            another type than png and jpg; or their names do not say which of them are the frames,
            or in which order.
        OSError: The folder cannot be read.
    """
    frames, strays = _frames_and_strays(folder)
    if strays:
        warn_once(f"{folder}: left out {some_names(strays)}, not named like {frames[0].name}")
    for remark in _numbering_remarks(frames):
        warn_once(f"{folder}: {remark}")
    return frames


def folder_images(folder: Path, first: int, end: int | None) -> Iterator[tuple[Path, np.ndarray]]:
    """Yields file and image (uint8 [H, W, 3] BGR) of each frame from `first` up to `end`.

    Raises:
        DataError: The folder is too short, or an image is broken.
    """
    files = frame_files(folder)
    check_count(folder, len(files), first + 1 if end is None else end)
    for file in files[first:end]:
        yield file, read_image(file)


def folder_state(folder: Path, start: int | None, end: int | None) -> dict[str, Any]:
    """Returns the state of a folder for its identity: names and bytes of the frames.

    Their times are left out, because a plain copy of the data set changes them.
    """
    frames = frame_files(folder)[start:end]
    listed = "\n".join(f"{frame.name} {frame.stat().st_size}" for frame in frames)
    return {
        "frames": len(frames),
        "sha256": hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest(),
    }


def image_files(files: Sequence[Path]) -> dict[Path, str]:
    """Returns the files that are images, with their types.

    The suffixes of png, jpg and videos decide; for other files the content, and then the suffix.
    """
    types = {file: _type_of(file, file.suffix.lower()) for file in files}
    return {file: name for file, name in types.items() if name is not None}


def unknown_files(files: Sequence[Path], images: Collection[Path]) -> list[Path]:
    """Returns the files that are neither among the images nor, by suffix, videos or notes."""
    known = (*VIDEO_SUFFIXES, *_SIDE_SUFFIXES)
    return [file for file in files if file not in images and file.suffix.lower() not in known]


def natural_key(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts names by the value of the numbers in them."""
    parts = re.findall(r"([0-9]*)([^0-9]*)", name)
    return [(int(number or 0), text) for number, text in parts]


def some_names(paths: list[Path]) -> str:
    """Returns the names of the first two, and how many more there are."""
    names = ", ".join(path.name for path in sorted(paths)[:2])
    return f"{names} and {len(paths) - 2} more" if len(paths) > 2 else names


def _type_of(file: Path, suffix: str) -> str | None:
    if suffix in VIDEO_SUFFIXES:
        return None
    return _FRAME_TYPES.get(suffix) or image_type(file) or _OTHER_TYPES.get(suffix)


def _frames_and_strays(folder: Path) -> tuple[list[Path], list[Path]]:
    files, subfolders = _contents(folder)
    images = image_files(files)
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        found = f"{some_names(videos)} and {len(images)} images"
        raise DataError(folder, found, f"{_EXPECTED} without videos, or the path of one video")
    unknown = unknown_files(files, images)
    if len(images) == 1 and unknown:  # which may be a poster beside videos
        found = f"a single image, {min(images).name}, beside {some_names(unknown)}"
        raise DataError(folder, found, f"{_EXPECTED}, or the path of one video")
    if len(images) <= 1 and len(subfolders) > 1:
        found = f"{len(images)} images and {len(subfolders)} folders ({some_names(subfolders)})"
        raise DataError(folder, found, f"{_EXPECTED}, or the path of one of them")
    if len(images) <= 1 and subfolders:
        inner = image_files(_contents(subfolders[0])[0])
        if len(inner) > len(images):
            frames, strays = _numbered(subfolders[0], inner)
            return frames, [*images, *strays]
    return _numbered(folder, images)


def _contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the files and the folders in a folder, without hidden ones."""
    files: list[Path] = []
    folders: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                (folders if entry.is_dir() else files).append(Path(entry.path))
    return files, sorted(folders)


def _numbered(folder: Path, images: dict[Path, str]) -> tuple[list[Path], list[Path]]:
    """Returns the frames in order, and the images that are none."""
    if not images:
        raise DataError(folder, "no images", _EXPECTED)
    types = Counter(images.values())
    if 2 * (types["png"] + types["jpg"]) <= len(images):
        counts = [f"{count} {name}" for name, count in types.most_common()]
        raise DataError(folder, " and ".join([f"{counts[0]} images", *counts[1:]]), _EXPECTED)
    check_length(folder, len(images))
    kinds: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for image, name in images.items():
        kinds[re.sub("[0-9]+", "0", image.stem.lower()), name].append(image)
    largest = max(kinds.values(), key=len)
    strays = [image for kind in kinds.values() if kind is not largest for image in kind]
    num_sets = sum(len(kind) > 1 for kind in kinds.values())
    if strays and (num_sets != 1 or len(strays) >= len(largest)):
        shown = sorted(kinds.values(), key=lambda kind: (-len(kind), min(kind)))[:3]
        found = ", ".join(f"{len(kind)} as {min(kind).name}" for kind in shown)
        more = f" and {len(kinds) - 3} other names" if len(kinds) > 3 else ""
        expected = "frames numbered in one way, such as images0001.png"
        raise DataError(folder, f"images of unlike names ({found}{more})", expected)
    frames = sorted((_numbers(image), image) for image in largest)
    for (number, one), (next_number, other) in pairwise(frames):
        if number == next_number:
            found = f"{one.name} and {other.name}, which have the same number"
            raise DataError(folder, found, "one image a number")
    return [image for _, image in frames], strays


def _numbers(image: Path) -> list[int]:
    return [int(number) for number in re.findall("[0-9]+", image.stem)]


def _numbering_remarks(files: list[Path]) -> Iterator[str]:
    """Yields a line if numbers are missing, or if it is unclear which number counts."""
    columns = [column for column in zip(*map(_numbers, files), strict=True) if len({*column}) > 1]
    if not columns:
        return
    column = columns[0]
    if len({*column}) < len(column):
        names = f"{files[0].name} to {files[-1].name}"
        yield f"frames with {len(columns)} numbers that count ({names}), read in their order"
        return
    steps = [after - before for before, after in pairwise(column)]
    step = median_low(steps) if len(steps) > 1 else 1  # the usual one: some keep each 5th frame
    gaps = [index for index, length in enumerate(steps) if length > 1.5 * step]
    if gaps:
        before, after = files[gaps[0]].name, files[gaps[0] + 1].name
        number = f"{len(gaps)} gaps, the first" if len(gaps) > 1 else "a gap"
        yield f"numbering with {number} from {before} to {after}, read as if nothing were missing"
