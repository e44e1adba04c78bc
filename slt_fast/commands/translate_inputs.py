"""Finds the videos that slt-translate is asked for: files, folders, patterns and manifests."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slt_fast.data.frames.folder import natural_key
from slt_fast.data.sources import data_files, find_videos, read_split, split_names
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, ErrorHandler, UserError, handle

_MANIFEST = "manifest:"


@dataclass(frozen=True)
class Input:
    """A video to translate, or a part of one.

    Args:
        name: Path, or the id in a manifest.
        source: The video.
        read_with: Files that say what is in it, which nothing may be written to.
    """

    name: str
    source: VideoSource
    read_with: tuple[Path, ...] = ()


def find_inputs(
    names: Sequence[str],
    *,
    start: int | None = None,
    end: int | None = None,
    folder_fps: float | None = None,
    on_error: ErrorHandler | None = None,
) -> list[Input]:
    """Finds videos, in the order of their names.

    Args:
        names: Video files, folders of frames, folders with videos and such folders at any depth,
            patterns with *, ? or [...] (** for folders at any depth), or manifest:FILE.
        start: First frame of each; not for manifests, which have their own.
        end: Frame after the last one of each; likewise.
        folder_fps: Frames per second of folders of frames; likewise.
        on_error: Called with what cannot be used; None raises it.

    Raises:
        UserError: Start, end or folder_fps for a manifest.
    """
    found: list[Input] = []
    for name in names:
        try:
            if name.startswith(_MANIFEST):
                if (start, end, folder_fps) != (None, None, None):
                    expected = "expected them in the columns of the manifest"
                    raise UserError(f"{name}: found start, end or folder_fps; {expected}")
                found += _rows(name, on_error)
            else:
                videos = [video for place in _places(name) for video in _videos(place)]
                parts = (VideoSource(video, start, end, folder_fps) for video in videos)
                found += [Input(part.name, part) for part in parts]
        except DataError as error:
            handle(error, on_error)
    return found


def _rows(name: str, on_error: ErrorHandler | None) -> Iterator[Input]:
    for split in split_names(name):
        for clip in read_split(name, split, on_error=on_error):
            assert isinstance(clip.source, VideoSource)
            annotation = Path(clip.origin.rpartition(":")[0])  # the manifest, or subtitles
            yield Input(clip.id, clip.source, (*map(Path, data_files(name)), annotation))


def _places(name: str) -> list[Path]:
    """Returns the paths that match a name; a path that exists means itself."""
    path = Path(name).expanduser()
    if path.exists() or not glob.has_magic(name):
        return [path]
    matching = sorted(glob.glob(str(path), recursive=True), key=natural_key)
    if not matching:
        raise DataError(name, "no file that matches", "a pattern of videos or folders of frames")
    return [Path(match) for match in matching]


def _videos(place: Path) -> list[Path]:
    """Returns a video, a folder of frames, or the videos in a folder."""
    if not place.is_dir():
        return [place]
    found = [source.path for source in find_videos(place)[1]]
    return [place] if place in found else found
