"""Fills a flow cache: what is left to do, whether the disk holds it, and the work itself.

Clips that are in the cache are not computed again, so that an extraction goes on after it was
killed. Several processes or machines share the work as torchrun numbers them: by RANK and
WORLD_SIZE in the environment.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from slt_fast.data.clip import FrameSource
from slt_fast.data.flow_cache.cache import FlowCache, flow_bytes, to_float16
from slt_fast.data.flow_images import clip_flow
from slt_fast.data.identity import Identity
from slt_fast.data.input import InputConfig
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, ErrorHandler, handle, result_or_error
from slt_fast.workers import in_processes

_BYTES_PER_FILE = 4096  # the header, and the last block of a disk
_COUNTED = 1000  # of more clips, the frames of so many are counted


@dataclass(frozen=True)
class Plan:
    """What an extraction has to do.

    Args:
        todo: Clips of this rank that are not in the cache, or not as they are now.
        num_found: Clips of this rank that are in the cache.
        num_missing: Clips of all ranks that have no file yet.
        num_bytes: About what these will take.
        label: Name on the progress bar.
    """

    todo: list[FrameSource]
    num_found: int
    num_missing: int
    num_bytes: int
    label: str

    def check_space(self, cache: FlowCache) -> str:
        """Checks that the disk holds what is missing.

        Returns:
            A sentence that says so.

        Raises:
            DataError: It does not.
        """
        free = shutil.disk_usage(cache.folder).free
        needed = f"about {format_bytes(self.num_bytes)} for the flow of {self.num_missing} clips"
        if self.num_bytes > free:
            expected = f"{needed} (a smaller size takes less)"
            raise DataError(cache.folder, f"{format_bytes(free)} of free space", expected)
        return f"{cache.folder} needs {needed}; {format_bytes(free)} are free"


def make_plan(
    sources: Sequence[FrameSource], cache: FlowCache, *, rank: int = 0, world_size: int = 1
) -> Plan:
    """Finds what is left to do.

    Args:
        sources: The clips, of all ranks and in the same order for each; of equal ones, one counts.
        cache: Where their flow goes.
        rank: Which share is ours, from 0.
        world_size: Number of shares.
    """
    clips: dict[Path, FrameSource] = {}
    for source in sources:
        clips.setdefault(cache.path(source), source)
    names = set(os.listdir(cache.folder))
    missing = [source for path, source in clips.items() if path.name not in names]
    share = list(clips.values())[rank::world_size]
    label = "flow" if world_size == 1 else f"flow, {rank + 1} of {world_size}"
    bar = tqdm(share, "looking for flow", unit="clip", leave=False)
    todo = [source for source in bar if not _is_kept(source, cache)]
    num_bytes = _estimated_bytes(missing, cache.image_size)
    return Plan(todo, len(share) - len(todo), len(missing), num_bytes, label)


def extract(
    plan: Plan,
    cache: FlowCache,
    config: InputConfig,
    *,
    num_workers: int,
    device: torch.device | None = None,
    on_error: ErrorHandler | None = None,
) -> list[int]:
    """Computes and keeps the flow of clips, with a progress bar.

    Args:
        plan: The clips.
        cache: Where their flow goes.
        config: The flow to compute, as the cache was opened with.
        num_workers: Processes; 0 works here, as does a single clip.
        device: Where the flow is computed, as flow_device tells; None is in the processes.
        on_error: Called with each clip that cannot be read, which is then left out; None raises it.

    Returns:
        The number of frames of each clip that was kept.

    Raises:
        DataError: A clip that cannot be read, if on_error is None.
        OSError: The flow cannot be written (a full disk, say); what was kept before stays.
    """
    if device is None:
        work, ahead = partial(extract_clip, cache=cache, config=config), 4
    else:
        work, ahead = partial(_read, cache=cache), 1  # the frames of whole clips wait
    if len(plan.todo) <= 1:
        num_workers = 0  # all threads of this process are more than the one of a worker
    num_workers = min(num_workers, len(plan.todo))
    results = in_processes(work, plan.todo, num_workers=num_workers, label=plan.label, ahead=ahead)
    if device is not None:
        read = zip(plan.todo, results, strict=True)
        results = (_keep(source, content, cache, config, device) for source, content in read)
    lengths = []
    for result in results:
        if isinstance(result, DataError):
            handle(result, on_error)
        else:
            lengths.append(result)
    return lengths


def extract_clip(source: FrameSource, cache: FlowCache, config: InputConfig) -> int | DataError:
    """Computes and keeps the flow of one clip; gives its frames, or what is wrong with it.

    Raises:
        OSError: The flow cannot be written.
    """
    return _keep(source, _read(source, cache), cache, config, torch.device("cpu"))


def _read(source: FrameSource, cache: FlowCache) -> tuple[Identity, torch.Tensor] | DataError:
    """The state that a source was in, and its frames."""
    cv2.setNumThreads(0)  # the processes are enough for the cores

    def read() -> tuple[Identity, torch.Tensor]:
        identity = cache.identity(source)
        return identity, torch.from_numpy(np.ascontiguousarray(source.read()))

    return result_or_error(source.name, read)


def _keep(
    source: FrameSource,
    read: tuple[Identity, torch.Tensor] | DataError,
    cache: FlowCache,
    config: InputConfig,
    device: torch.device,
) -> int | DataError:
    """Computes and writes the flow of what was read."""
    if isinstance(read, DataError):
        return read
    identity, frames = read
    size = (config.image_size, config.image_size)
    options = {"preset": config.flow_preset, "backend": config.flow_backend}

    def flow() -> torch.Tensor:
        try:
            return to_float16(clip_flow(frames.to(device), size=size, **options))
        except torch.OutOfMemoryError:
            found = f"{len(frames)} frames of {frames.shape[1]}x{frames.shape[2]}"
            message = f"{found}, for which the memory of {device} is too small"
            raise DataError(source.name, message, "a shorter clip, or --device cpu") from None

    computed = result_or_error(source.name, flow)
    if isinstance(computed, DataError):
        return computed
    cache.write(identity, computed)
    return len(computed)


def share_of_work(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """RANK and WORLD_SIZE, as torchrun sets them; 0 and 1 where they are not set.

    Raises:
        ValueError: Only one of them, or other values than 0 <= RANK < WORLD_SIZE.
    """
    values = environment.get("RANK"), environment.get("WORLD_SIZE")
    if values == (None, None):
        return 0, 1
    numbers = [int(value) if value and value.isdecimal() else -1 for value in values]
    if not 0 <= numbers[0] < numbers[1]:
        found = f"RANK {values[0]} and WORLD_SIZE {values[1]}"
        raise ValueError(f"environment: found {found}; expected 0 <= RANK < WORLD_SIZE")
    return numbers[0], numbers[1]


def format_bytes(number: float) -> str:
    """A number of bytes for people to read, in powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def _is_kept(source: FrameSource, cache: FlowCache) -> bool:
    try:
        cache.find(source)
    except (DataError, OSError):  # to be computed, which tells what is wrong with the source
        return False
    return True


def _estimated_bytes(sources: Sequence[FrameSource], image_size: int) -> int:
    counted = sources[:: 1 + len(sources) // _COUNTED]
    bar = tqdm(counted, "counting frames", unit="clip", leave=False)
    num_frames = sum(_estimated_frames(source) for source in bar)
    num_bytes = flow_bytes(num_frames, image_size) + len(counted) * _BYTES_PER_FILE
    return num_bytes * len(sources) // max(len(counted), 1)


def _estimated_frames(source: FrameSource) -> int:
    is_video = isinstance(source, VideoSource)
    read = source.estimated_frames if is_video else source.num_frames
    found = result_or_error(source.name, read)
    return 0 if isinstance(found, DataError) else found
