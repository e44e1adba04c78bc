"""A folder of flow, so that training need not compute it in each epoch.

It holds one file a clip (cached_flow.py), and a cache.json with the algorithm, version, parameters
and size of the flow; encoder and bound may change later. The files' headers repeat this description
and hold the identity of the video. Training computes the flow of clips whose file does not fit.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from slt_fast.data.cached_flow import CachedFlow, find_cached_flow, write_cached_flow
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.frame_source import FrameRate, FrameSource, Identity
from slt_fast.data.input import InputConfig
from slt_fast.errors import DataError, UserError
from slt_fast.files import read_json, remove_leftovers, seen_from, write_json
from slt_fast.progress_bar import ProgressBar
from slt_fast.settings import check_value
from slt_fast.version import __version__

DESCRIPTION = "cache.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FlowCache:
    """A folder of flow; picklable, so that worker processes can use it."""

    folder: Path
    flow: dict[str, Any]  # algorithm, version and parameters of the flow
    image_size: int  # height and width of the flow
    data_root: Path  # folder of the data set
    fps: FrameRate = "native"  # frames per second that its clips were resampled to

    def identity(self, source: FrameSource) -> Identity:
        """Returns the identity of a source in this data set."""
        return source.identity(self.data_root)

    def path(self, source: FrameSource) -> Path:
        """Returns the file of a clip, which may not exist: a readable name and a unique hash."""
        return self._path(*source.place(self.data_root))

    def find(self, source: FrameSource) -> CachedFlow:
        """Finds the flow of a clip.

        Raises:
            DataError: The file is missing or broken, or was made from an earlier state of the
                source or with other parameters.
            OSError: The source cannot be read.
        """
        identity = self.identity(source)
        path = self._path(identity.name, identity.place)
        return find_cached_flow(path, self._header(identity), self.image_size, source.name)

    def write(self, identity: Identity, flow: torch.Tensor) -> None:
        """Writes the flow of a clip, float16 [T, 2, size, size]; raises OSError on a full disk.

        The identity is from before the source was read, so that a later change is noticed.
        """
        path = self._path(identity.name, identity.place)
        write_cached_flow(path, flow, self._header(identity))

    def _path(self, name: str, place: dict[str, Any]) -> Path:
        name = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII)[-80:].lstrip(".-")
        digest = hashlib.sha256(_to_text(place).encode()).hexdigest()[:16]
        return self.folder / f"{name}-{digest}.safetensors"

    def _header(self, identity: Identity) -> dict[str, str]:
        parts = {"flow": self.flow, "place": identity.place, "state": identity.state}
        return {name: _to_text(values) for name, values in parts.items()}


def flow_bytes(num_frames: int, image_size: int) -> int:
    """Returns the bytes of flow on disk: u and v take two each."""
    return num_frames * 2 * image_size**2 * 2


def open_flow_cache(
    folder: Path,
    config: InputConfig,
    data_root: Path,
    *,
    fps: FrameRate = "native",
    create: bool = False,
) -> FlowCache:
    """Opens a cache for flow of one kind.

    Args:
        folder: Folder of the cache.
        config: Flow and size of the images; encoder and bound do not matter.
        data_root: Folder of the data set.
        fps: Frames per second that its clips are resampled to.
        create: Make the cache if there is none yet, to write to it.

    Raises:
        DataError: There is no cache, or it holds other flow, another size or another rate.
        UserError: The input is not flow.
    """
    if config.input != "flow":
        raise UserError(f"flow cache: found input {config.input!r}; expected 'flow'")
    flow = json.loads(_to_text(config.parameters()))  # as it is read back
    cache = FlowCache(Path(folder), flow, config.image_size, Path(data_root), fps)
    path = cache.folder / DESCRIPTION
    if create:
        _create_folder(cache.folder)
        if not path.exists():
            write_json(path, {"slt_fast": __version__, **_size_and_rate(cache), "flow": flow})
    if not path.is_file():
        expected = f"a flow cache with its {DESCRIPTION}, as slt-extract-flow makes"
        found = "none" if cache.folder.is_dir() else "no such folder"
        raise DataError(folder, found, expected + seen_from(folder))
    _check_same(path, cache)
    return cache


def cached_rate(folder: Path) -> FrameRate | None:
    """Returns the rate that a cache's clips were resampled to; None if there is no cache yet.

    Raises:
        DataError: Its description is broken.
        UserError: It names no frame rate.
    """
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        return None
    rate = _rate(read_json(path))
    check_value(f"{path}: fps", FrameRate, rate)
    return rate


def with_cached_flow(clips: Sequence[AnnotatedClip], cache: FlowCache) -> list[AnnotatedClip]:
    """Adds to each clip its flow on disk, if it is there; warns once if some is missing."""
    found: list[AnnotatedClip] = []
    problems: list[Exception] = []
    for clip in ProgressBar(clips, "finding flow", unit="clip"):
        try:
            found.append(replace(clip, cached_flow=cache.find(clip.source)))
        except (DataError, OSError) as error:
            found.append(clip)
            problems.append(error)
    if problems:
        logger.warning(
            "flow cache %s: found the flow of %d of %d clips (first problem: %s); the others' is "
            "computed whenever they are read, unless slt-extract-flow completes the cache",
            cache.folder,
            len(clips) - len(problems),
            len(clips),
            problems[0],
        )
    else:
        logger.info("flow cache %s: found the flow of all %d clips", cache.folder, len(clips))
    return found


def _to_text(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def _create_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    names = [name for name in os.listdir(folder) if not name.startswith(".")]
    # Checked again, because another process may have made the cache in between.
    if names and not (folder / DESCRIPTION).exists():
        found = f"{len(names)} files but no {DESCRIPTION}"
        raise DataError(folder, found, "a flow cache, or an empty or new folder")


def _size_and_rate(cache: FlowCache) -> dict[str, Any]:
    return {"image_size": cache.image_size, "fps": cache.fps}


def _rate(description: dict[str, Any]) -> FrameRate:
    return description.get("fps", "native")  # version 0.1 never resampled


def _check_same(path: Path, cache: FlowCache) -> None:
    description = read_json(path)
    flow = description.get("flow")
    if not isinstance(flow, dict):
        raise DataError(path, f"flow {flow!r}", "the flow's parameters")
    ours = {**cache.flow, **_size_and_rate(cache)}
    theirs = {**flow, "image_size": description.get("image_size"), "fps": _rate(description)}
    changed = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    if changed:
        found, expected = (
            ", ".join(f"{name} {values.get(name)!r}" for name in changed)
            for values in (theirs, ours)
        )
        advice = "as asked for; extract that flow into another folder"
        raise DataError(path, f"flow with {found}", f"{expected}, {advice}")
