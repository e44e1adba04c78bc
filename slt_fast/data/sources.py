"""Resolves the names of data sets.

They are `synthetic[:SEED]`, `synthetic-agreement[:SEED]` (hands and heads have to be related),
`phoenix14t:PATH`, `phoenix14t-rendered:PATH` (its annotations, signed by a drawn signer) and
`manifest:FILE`. Without annotations, a video, a folder of videos or a bare manifest is enough.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.datasets.manifest import manifest_splits, read_manifest
from slt_fast.data.datasets.phoenix14t import (
    ANNOTATIONS_FOLDER,
    FRAMES_FOLDER,
    phoenix14t_root,
    phoenix14t_splits,
    read_phoenix14t,
)
from slt_fast.data.datasets.rows import MANIFEST_SUFFIXES
from slt_fast.data.frame_source import FrameSource
from slt_fast.data.frames.folder import (
    VIDEO_SUFFIXES,
    image_files,
    natural_key,
    some_names,
    unknown_files,
)
from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.synthetic.corpus import NUM_CLIPS
from slt_fast.data.synthetic.phoenix_layout import read_rendered_phoenix14t
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, ErrorHandler, UserError, warn_once

SYNTHETIC = ("synthetic", "synthetic-agreement")  # kinds whose place is a seed
_ON_DISK = ("phoenix14t", "phoenix14t-rendered", "manifest")

logger = logging.getLogger(__name__)


def read_split(
    data: str, split: str, *, on_error: ErrorHandler | None = None, needs_frames: bool = True
) -> list[AnnotatedClip]:
    """Reads the clips of one split of a data set.

    Args:
        data: Name of the data set.
        split: Name of the split.
        on_error: Called with each bad annotation line, which is then left out; None raises it.
        needs_frames: Whether videos must exist; otherwise they are not looked for.

    Raises:
        DataError: A bad line, file or split.
        UserError: An unknown kind of data set, or a split without a clip.
    """
    clips = _read_clips(data, split, on_error, needs_frames=needs_frames)
    if not clips:
        raise UserError(f"{data}: found no usable clip in split {split!r}; expected at least one")
    return clips


def _read_clips(
    data: str, split: str, on_error: ErrorHandler | None, *, needs_frames: bool = True
) -> list[AnnotatedClip]:
    kind, place = _kind_and_place(data)
    if kind in SYNTHETIC:
        agreement = kind == "synthetic-agreement"
        return read_synthetic(split, seed=synthetic_seed(data) or 0, agreement=agreement)
    if kind == "phoenix14t":
        return read_phoenix14t(place, split, on_error=on_error, needs_frames=needs_frames)
    if kind == "phoenix14t-rendered":
        return read_rendered_phoenix14t(place, split, on_error=on_error)
    return read_manifest(place, split, on_error=on_error, needs_frames=needs_frames)


def read_videos(
    data: str, *, splits: Sequence[str] = (), on_error: ErrorHandler | None = None
) -> tuple[Path, Sequence[FrameSource]]:
    """Finds the videos of a data set, whose annotations do not matter.

    Args:
        data: As for read_split; or a path of a manifest, a video, or a folder of videos or frames.
        splits: Names of splits; none means all.
        on_error: Called with each bad annotation line, which is then left out; None raises it.

    Returns:
        The folder that videos are named relative to, and the videos.

    Raises:
        DataError: A bad line, file or split, or no video.
        UserError: Splits of data without annotations.
    """
    if data.partition(":")[0] not in (*SYNTHETIC, *_ON_DISK):
        if Path(data).suffix.lower() not in MANIFEST_SUFFIXES:
            if splits:
                expected = "expected none, as videos without annotations have no splits"
                raise UserError(f"{data}: found splits {', '.join(splits)}; {expected}")
            return find_videos(Path(os.path.expanduser(data)))
        data = f"manifest:{data}"
    clips = [
        clip for split in splits or split_names(data) for clip in _read_clips(data, split, on_error)
    ]
    if not clips:
        raise UserError(f"{data}: found no usable clip; expected at least one")
    return data_root(data), [clip.source for clip in clips]


def find_videos(place: Path) -> tuple[Path, Sequence[VideoSource]]:
    """Finds the videos at a place.

    Args:
        place: A video file of any name, a folder of frames, or a folder with videos and folders of
            frames at any depth. Images beside videos are left out, and so is a single image beside
            folders or files of unknown kind, which the log says, as it names these files. Hidden
            files are ignored; symbolic links are followed.

    Returns:
        The folder that the videos are named relative to, and the videos in natural order.

    Raises:
        DataError: There is none.
    """
    if place.is_file():
        return place.parent, [VideoSource(place)]
    if not place.is_dir():
        raise DataError(place, "nothing", "a video, a folder of videos or frames, or a manifest")
    found = [VideoSource(path) for path in _walk(place)]
    if not found:
        raise DataError(place, "no videos and no folders of frames", "at least one")
    return place.parent if found[0].path == place else place, found


def _walk(place: Path) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()
    others: list[Path] = []
    for folder, folders, files in os.walk(place, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted((name for name in folders if name[0] != "."), key=natural_key)
        names = sorted((name for name in files if name[0] != "."), key=natural_key)
        shown = [Path(folder, name) for name in names]
        videos = [path for path in shown if path.suffix.lower() in VIDEO_SUFFIXES]
        images = image_files(shown)
        unknown = unknown_files(shown, images)
        others += unknown
        yield from videos
        if images and not videos and (len(images) > 1 or not (folders or unknown)):
            yield Path(folder)
        elif images:
            counts = (len(images), len(videos), len(folders), len(unknown))
            text = "%s: left out %d images beside %d videos, %d folders and %d unknown files"
            logger.warning(text, folder, *counts)
    if others:
        warn_once(
            f"{place}: left out {some_names(others)}, neither videos nor images by their names"
        )


def data_root(data: str) -> Path:
    """Returns the folder that a data set's videos are named relative to."""
    kind, place = _kind_and_place(data)
    if kind == "phoenix14t":
        return phoenix14t_root(place)
    return Path(place).parent if kind == "manifest" else Path()  # a rendered clip has no file


def data_files(data: str) -> list[Path]:
    """Lists what nothing may be written to: a manifest, or folders of annotations and frames.

    Raises:
        UserError: An unknown kind of data set.
    """
    kind, place = _kind_and_place(data)
    if kind in SYNTHETIC:
        return []
    if kind == "manifest":
        return [Path(place)]
    root = phoenix14t_root(place)
    return [root / ANNOTATIONS_FOLDER, root / FRAMES_FOLDER.parent]


def split_names(data: str) -> list[str]:
    """Lists the splits of a data set.

    Raises:
        DataError: A bad file.
        UserError: An unknown kind of data set.
    """
    kind, place = _kind_and_place(data)
    if kind in SYNTHETIC:
        return list(NUM_CLIPS)
    return manifest_splits(place) if kind == "manifest" else phoenix14t_splits(place)


def _kind_and_place(data: str) -> tuple[str, str]:
    """Splits the name of a data set; raises UserError if its kind is unknown or lacks a place."""
    kind, _, place = data.partition(":")
    if kind not in SYNTHETIC and not (kind in _ON_DISK and place):
        expected = "synthetic[-agreement][:SEED], phoenix14t[-rendered]:PATH or manifest:FILE"
        raise UserError(f"data: found {data!r}; expected {_meant(data) or expected}")
    return kind, os.path.expanduser(place)  # a shell expands ~ at the start of a word only


def _meant(path: str) -> str | None:
    """Returns the name of the data set at a path that was given without its kind."""
    if Path(path).suffix.lower() in MANIFEST_SUFFIXES:
        return f"manifest:{path}"
    if (phoenix14t_root(path) / ANNOTATIONS_FOLDER).is_dir():
        return f"phoenix14t:{path}"
    return None


def synthetic_seed(data: str) -> int | None:
    """Returns the seed of a synthetic corpus, 0 by default; None for other data.

    Raises:
        UserError: The seed is not a whole number.
    """
    kind, _, seed = data.partition(":")
    if kind not in SYNTHETIC:
        return None
    if seed and not seed.isdecimal():
        raise UserError(f"data: found {data}; expected a whole number as its seed")
    return int(seed or 0)
