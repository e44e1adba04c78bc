"""The videos in a folder, for work that needs no annotations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from slt_fast.data.video.source import IMAGE_SUFFIXES, VideoSource, natural_key
from slt_fast.errors import DataError

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".wmv", ".flv", ".3gp", ".ogv"),
)


def find_videos(place: Path) -> tuple[Path, list[VideoSource]]:
    """Finds the videos at a place.

    Args:
        place: A video file of any name, a folder of frames, or a folder with videos and folders of
            frames at any depth. Images beside videos are no frames; hidden files are left out, and
            symbolic links are followed.

    Returns:
        The folder that the videos are named relative to, and the videos in natural order.

    Raises:
        DataError: If there is none.
    """
    if place.is_file():
        return place.parent, [VideoSource(place)]
    if not place.is_dir():
        raise DataError(place, "nothing", "a video, a folder of videos or frames, or a manifest")
    found = [VideoSource(path) for path in _walk(place)]
    if not found:
        raise DataError(place, "no videos and no folders of frames", "at least one")
    if found[0].path == place:
        return place.parent, found
    return place, found


def _walk(place: Path) -> Iterator[Path]:
    seen = set()
    for folder, folders, files in os.walk(place, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted((name for name in folders if name[0] != "."), key=natural_key)
        shown = sorted((name for name in files if name[0] != "."), key=natural_key)
        videos = [name for name in shown if Path(name).suffix.lower() in VIDEO_SUFFIXES]
        if videos:
            yield from (Path(folder, name) for name in videos)
        elif any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in shown):
            yield Path(folder)
