"""Flow on disk, so that training need not compute it anew in each epoch.

A cache is a folder with one file a clip, and a cache.json that says what flow that is: the
algorithm, its version and parameters, and the size of the images. A clip's file holds its flow as
clip_flow returns it, [T, 2, size, size] in pixels of that size, the first field zero, but as
float16; in safetensors, so that nothing is unpickled. Bound and encoder are free to change later.

Files are named after the video's path in its data set. Their headers tell the flow once more, and
the state that the video was in. A file that does not fit is an error of that file; training
computes the flow of its clip instead.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tqdm import tqdm

from slt_fast import __version__
from slt_fast.data.clip import Clip, FrameSource
from slt_fast.data.identity import Identity, source_identity, source_place
from slt_fast.data.input import InputConfig
from slt_fast.errors import DataError
from slt_fast.files import read_json, remove_leftovers, replacing, write_json

DESCRIPTION = "cache.json"
_TENSOR, _TYPE = "flow", "F16"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedFlow:
    """The flow of one clip on disk.

    Args:
        path: Its file.
        num_frames: Frames of the clip.
    """

    path: Path
    num_frames: int

    def read(self) -> torch.Tensor:
        """The flow, float32 [T, 2, size, size] in pixels of that size; zero in frame 0.

        Raises:
            DataError: A file that is gone or damaged.
        """
        with _opened(self.path) as file:
            flow, header = file.get_tensor(_TENSOR), file.metadata() or {}
        if header.get("crc32") != _checksum(flow):
            raise DataError(self.path, "damaged flow", "the checksum that was written with it")
        return flow.float()


@dataclass(frozen=True)
class FlowCache:
    """A folder of flow; picklable, so that worker processes can use it.

    Args:
        folder: The folder.
        flow: The flow's algorithm, version and parameters.
        image_size: Height and width of its fields.
        data_root: The data set's folder.
    """

    folder: Path
    flow: dict[str, Any]
    image_size: int
    data_root: Path

    def identity(self, source: FrameSource) -> Identity:
        """The identity of a source in this data set; raises as source_identity does."""
        return source_identity(source, self.data_root)

    def path(self, source: FrameSource) -> Path:
        """The file of a clip, there or not: a readable name, and a hash that makes it unique."""
        return self._path(*source_place(source, self.data_root))

    def find(self, source: FrameSource) -> CachedFlow:
        """The flow of a clip.

        Raises:
            DataError: There is none, or it is broken, or was made of an earlier state of the source
                or otherwise.
            OSError: The source cannot be read.
        """
        identity = self.identity(source)
        path, size = self._path(identity.name, identity.place), self.image_size
        if not path.is_file():
            raise DataError(path, "no such file", f"the flow of {source.name}")
        with _opened(path) as file:
            part, header = file.get_slice(_TENSOR), file.metadata() or {}
            kind, shape = part.get_dtype(), part.get_shape()
        for name, expected in self._header(identity).items():
            if header.get(name) != expected:
                found = f"flow of {source.name} with {name} {header.get(name)}"
                raise DataError(path, found, expected)
        if kind != _TYPE or len(shape) != 4 or shape[1:] != [2, size, size]:
            raise DataError(path, f"{kind} of {shape}", f"{_TYPE} of [T, 2, {size}, {size}]")
        return CachedFlow(path, shape[0])

    def write(self, identity: Identity, flow: torch.Tensor) -> None:
        """Keeps the flow of a clip; its file is whole or not there.

        Args:
            identity: Of the source, found before it was read: a change meanwhile is then noticed.
            flow: float16 [T, 2, size, size], as to_float16 makes it.

        Raises:
            OSError: The file cannot be written (a full disk, say).
        """
        path, flow = self._path(identity.name, identity.place), flow.cpu().contiguous()
        header = {**self._header(identity), "crc32": _checksum(flow)}
        try:
            with replacing(path) as temporary:
                temporary.write_bytes(save({_TENSOR: flow}, header))
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"{path}: could not write the flow: {reason}") from error

    def _path(self, name: str, place: dict[str, Any]) -> Path:
        name = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII)[-80:].lstrip(".-")
        digest = hashlib.sha256(_to_text(place).encode()).hexdigest()[:16]
        return self.folder / f"{name}-{digest}.safetensors"

    def _header(self, identity: Identity) -> dict[str, str]:
        parts = {"flow": self.flow, "place": identity.place, "state": identity.state}
        return {name: _to_text(values) for name, values in parts.items()}


def flow_bytes(num_frames: int, image_size: int) -> int:
    """What the flow of so many frames takes on disk: u and v in two bytes each."""
    return num_frames * 2 * image_size**2 * 2


def to_float16(flow: torch.Tensor) -> torch.Tensor:
    """Flow as it is kept: its error of at most 2^-12 of the motion is far below that of any flow.

    Raises:
        ValueError: NaN, or motion that float16 does not hold.
    """
    half = flow.half()
    finite = torch.isfinite(half)
    if not finite.all():
        value, t = flow[~finite][0].item(), int((~finite).nonzero()[0, 0])
        limit = torch.finfo(torch.float16).max
        raise ValueError(f"flow of {value:g} pixels in frame {t}, beyond the {limit:g} of float16")
    return half


def open_flow_cache(
    folder: Path, config: InputConfig, data_root: Path, *, create: bool = False
) -> FlowCache:
    """Opens a cache for flow of one kind.

    Args:
        folder: The cache's folder.
        config: Tells the flow and the size of the images; encoder and bound do not matter.
        data_root: The data set's folder.
        create: Make a cache where there is none yet, to write to it.

    Raises:
        DataError: No cache, or one of other flow or another size.
        ValueError: An input that is no flow.
    """
    if config.input != "flow":
        raise ValueError(f"flow cache: found input {config.input!r}; expected 'flow'")
    flow = json.loads(_to_text(config.parameters()))  # as it is read back
    cache = FlowCache(Path(folder), flow, config.image_size, Path(data_root))
    path = cache.folder / DESCRIPTION
    if create:
        _make_room(cache.folder)
        if not path.exists():
            ours = {"slt_fast": __version__, "image_size": cache.image_size, "flow": flow}
            write_json(path, ours)
    if not path.is_file():
        expected = f"a flow cache with its {DESCRIPTION}, as scripts/extract_flow.py makes"
        raise DataError(folder, "none" if cache.folder.is_dir() else "no such folder", expected)
    _check_same(path, cache)
    return cache


def with_cached_flow(clips: Sequence[Clip], cache: FlowCache) -> list[Clip]:
    """The clips with their flow on disk, as far as it is there; says once where it is not."""
    found: list[Clip] = []
    problems: list[Exception] = []
    for clip in tqdm(clips, "finding flow", unit="clip", leave=False):
        try:
            found.append(replace(clip, cached_flow=cache.find(clip.source)))
        except (DataError, OSError) as error:
            found.append(clip)
            problems.append(error)
    if problems:
        logger.warning(
            "flow cache %s: found the flow of %d of %d clips (first problem: %s); the others' is "
            "computed whenever they are read, unless scripts/extract_flow.py completes the cache",
            cache.folder,
            len(clips) - len(problems),
            len(clips),
            problems[0],
        )
    else:
        logger.info("flow cache %s: found the flow of all %d clips", cache.folder, len(clips))
    return found


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise DataError(path, str(error), "a whole safetensors file of flow") from error


def _checksum(flow: torch.Tensor) -> str:
    return str(zlib.crc32(flow.numpy()))


def _to_text(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def _make_room(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    names = [name for name in os.listdir(folder) if not name.startswith(".")]
    # Looked for once more: another process may have begun the cache after it was looked for.
    if names and not (folder / DESCRIPTION).exists():
        found = f"{len(names)} files but no {DESCRIPTION}"
        raise DataError(folder, found, "a flow cache, or an empty or new folder")


def _check_same(path: Path, cache: FlowCache) -> None:
    description = read_json(path)
    flow, size = description.get("flow"), description.get("image_size")
    if not isinstance(flow, dict):
        raise DataError(path, f"flow {flow!r}", "the flow's parameters")
    theirs, ours = {**flow, "image_size": size}, {**cache.flow, "image_size": cache.image_size}
    changed = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    if changed:
        found, expected = (
            ", ".join(f"{name} {values.get(name)!r}" for name in changed)
            for values in (theirs, ours)
        )
        advice = "as asked for; extract that flow into another folder"
        raise DataError(path, f"flow with {found}", f"{expected}, {advice}")
