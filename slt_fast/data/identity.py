"""What tells the source of a clip from others, and the state it is in from earlier ones."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slt_fast import __version__
from slt_fast.data.clip import FrameSource
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.video.source import VideoSource, frame_files
from slt_fast.errors import DataError


@dataclass(frozen=True)
class Identity:
    """A source and its state, ready for JSON.

    Args:
        name: Readable, and not the only one of its kind.
        place: Path in the data set with the first frame and the one after the last; or all that a
            rendered clip follows from.
        state: A video's bytes and second of change, the names and bytes of a folder's frames, or
            the version that renders.
    """

    name: str
    place: dict[str, Any]
    state: dict[str, Any]


def source_identity(source: FrameSource, data_root: Path) -> Identity:
    """The identity of a source.

    Args:
        source: A video, a frame folder or a clip of the synthetic corpus.
        data_root: The data set's folder, to which the path is relative.

    Raises:
        DataError: A folder without frames, or a source of another kind.
        OSError: A source that cannot be read.
    """
    name, place = source_place(source, data_root)
    is_video = isinstance(source, VideoSource)
    state = _video_state(source) if is_video else {"slt_fast": __version__}
    return Identity(name, place, state)


def source_place(source: FrameSource, data_root: Path) -> tuple[str, dict[str, Any]]:
    """Name and place of a source, told without a look at the disk.

    Raises:
        DataError: A source of another kind.
    """
    if isinstance(source, SyntheticSource):
        return source.name, asdict(source)
    if not isinstance(source, VideoSource):
        expected = "a video, a frame folder or a clip of the synthetic corpus"
        raise DataError(source.name, f"a {type(source).__name__}", expected)
    path = Path(os.path.relpath(source.path, data_root)).as_posix()
    return path, {"path": path, "start": source.start or 0, "end": source.end}


def _video_state(source: VideoSource) -> dict[str, Any]:
    if not source.path.is_dir():
        status = source.path.stat()
        return {"bytes": status.st_size, "modified": int(status.st_mtime)}
    # Not the frames' times, which a plain copy of the data set changes.
    frames = frame_files(source.path)[source.start : source.end]
    listed = "\n".join(f"{frame.name} {frame.stat().st_size}" for frame in frames)
    return {"frames": len(frames), "sha256": hashlib.sha256(listed.encode()).hexdigest()}
