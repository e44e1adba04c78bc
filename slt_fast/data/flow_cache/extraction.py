"""Fills a flow cache: plans the work, checks the space on the disk, and computes the flow."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from slt_fast.data.cached_flow import to_float16
from slt_fast.data.flow_cache.cache import FlowCache, flow_bytes
from slt_fast.data.flow_images import Frames, flow_parts
from slt_fast.data.frame_source import FrameSource, Identity
from slt_fast.data.input import InputConfig
from slt_fast.data.loading import Arrays, frame_parts, from_arrays, read_frames, to_arrays
from slt_fast.errors import DataError, ErrorHandler, UserError, handle, result_or_error
from slt_fast.progress_bar import ProgressBar
from slt_fast.settings import format_bytes
from slt_fast.workers import in_processes

_BYTES_PER_FILE = 4096  # the header, and the last block of a disk
_COUNTED = 1000  # if there are more clips, the frames of about this many are counted


@dataclass(frozen=True)
class Plan:
    """The work of an extraction."""

    todo: list[FrameSource]  # clips of this rank that are not in the cache, or have changed
    num_found: int  # clips of this rank that are in the cache
    num_missing: int  # clips of all ranks that have no file yet
    num_bytes: int  # estimated size of their flow
    label: str  # on the progress bar

    def check_space(self, cache: FlowCache) -> str:
        """Says how much space is needed and free; raises DataError if the flow does not fit."""
        free = shutil.disk_usage(cache.folder).free
        needed = f"about {format_bytes(self.num_bytes)} for the flow of {self.num_missing} clips"
        if self.num_bytes > free:
            expected = f"{needed} (a smaller size takes less)"
            raise DataError(cache.folder, f"{format_bytes(free)} of free space", expected)
        return f"{cache.folder} needs {needed}; {format_bytes(free)} are free"


def make_plan(
    sources: Sequence[FrameSource], cache: FlowCache, *, rank: int = 0, world_size: int = 1
) -> Plan:
    """Plans the share of one rank, from 0, of an extraction.

    All ranks get the same sources in the same order; duplicates count once.
    """
    clips: dict[Path, FrameSource] = {}
    for source in sources:
        clips.setdefault(cache.path(source), source)
    names = set(os.listdir(cache.folder))
    missing = [source for path, source in clips.items() if path.name not in names]
    share = list(clips.values())[rank::world_size]
    label = "flow" if world_size == 1 else f"flow, {rank + 1} of {world_size}"
    bar = ProgressBar(share, "looking for flow", unit="clip")
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
    """Computes and writes the flow of clips, with a progress bar.

    Args:
        plan: The clips.
        cache: Cache to fill.
        config: Settings of the flow; the cache was opened with them.
        num_workers: Number of worker processes; 0 works in this one, as does a single clip.
        device: GPU that computes the flow, from flow_device; None computes it in the workers.
        on_error: Called with each clip that cannot be read, which is then left out; None raises it.

    Returns:
        The number of frames of each clip that was written.

    Raises:
        DataError: A clip that cannot be read, if on_error is None.
        OSError: The flow cannot be written, for example because the disk is full; flow written
            before stays.
    """
    # A single clip is faster here: a worker has one thread.
    num_workers = 0 if len(plan.todo) <= 1 else min(num_workers, len(plan.todo))
    lengths = []
    for result in _results(plan, cache, config, num_workers, device):
        if isinstance(result, DataError):
            handle(result, on_error)
        else:
            lengths.append(result)
    return lengths


def _results(
    plan: Plan, cache: FlowCache, config: InputConfig, num_workers: int, device: torch.device | None
) -> Iterator[int | DataError]:
    if device is None:
        work = partial(extract_clip, cache=cache, config=config)
        yield from in_processes(work, plan.todo, num_workers=num_workers, label=plan.label)
        return
    read = partial(_read, cache=cache)
    # Only one ahead, because the frames of whole clips wait.
    contents = in_processes(read, plan.todo, num_workers=num_workers, label=plan.label, ahead=1)
    for source, content in zip(plan.todo, contents, strict=True):
        yield _write(_flow_on_gpu(source, content, config, device), cache)


def extract_clip(source: FrameSource, cache: FlowCache, config: InputConfig) -> int | DataError:
    """Writes a clip's flow, or raises OSError; returns the number of frames or the clip's error."""

    def compute() -> tuple[Identity, torch.Tensor]:
        identity = cache.identity(source)
        return identity, _flow(frame_parts(source), config)

    return _write(result_or_error(source.name, compute), cache)


def _read(source: FrameSource, cache: FlowCache) -> tuple[Identity, Arrays] | DataError:
    """Reads the frames of a source, and its identity before."""

    def read() -> tuple[Identity, Arrays]:
        return cache.identity(source), to_arrays(read_frames(source))

    return result_or_error(source.name, read)


def _flow_on_gpu(
    source: FrameSource,
    read: tuple[Identity, Arrays] | DataError,
    config: InputConfig,
    device: torch.device,
) -> tuple[Identity, torch.Tensor] | DataError:
    """Computes the flow of frames that were read."""
    if isinstance(read, DataError):
        return read
    identity, frames = read[0], from_arrays(read[1])
    assert isinstance(frames, Frames)

    def compute() -> tuple[Identity, torch.Tensor]:
        try:
            return identity, _flow([frames.to(device)], config)
        except torch.OutOfMemoryError:
            H, W = frames.distinct.shape[1:3]
            found = f"{len(frames)} frames of {H}x{W}"
            message = f"{found}, for which the memory of {device} is too small"
            raise DataError(source.name, message, "a shorter clip, or --device cpu") from None

    return result_or_error(source.name, compute)


def _flow(parts: Iterable[Frames], config: InputConfig) -> torch.Tensor:
    """Computes the flow of a clip as the cache holds it."""
    size, preset, backend = (config.image_size,) * 2, config.flow_preset, config.flow_backend
    flow: list[torch.Tensor] = []
    for part in flow_parts(parts, size=size, preset=preset, backend=backend):
        flow.append(to_float16(part, first=sum(map(len, flow))))
    return torch.cat(flow)


def _write(
    computed: tuple[Identity, torch.Tensor] | DataError, cache: FlowCache
) -> int | DataError:
    if isinstance(computed, DataError):
        return computed
    cache.write(*computed)
    return len(computed[1])


def share_of_work(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Returns RANK and WORLD_SIZE, as torchrun sets them; 0 and 1 if they are not set.

    Raises:
        UserError: Only one is set, or they are not 0 <= RANK < WORLD_SIZE.
    """
    values = environment.get("RANK"), environment.get("WORLD_SIZE")
    if values == (None, None):
        return 0, 1
    numbers = [int(value) if value and value.isdecimal() else -1 for value in values]
    if not 0 <= numbers[0] < numbers[1]:
        found = f"RANK {values[0]} and WORLD_SIZE {values[1]}"
        raise UserError(f"environment: found {found}; expected 0 <= RANK < WORLD_SIZE")
    return numbers[0], numbers[1]


def _is_kept(source: FrameSource, cache: FlowCache) -> bool:
    try:
        cache.find(source)
    except (DataError, OSError):  # computing the flow will raise the error of a broken source
        return False
    return True


def _estimated_bytes(sources: Sequence[FrameSource], image_size: int) -> int:
    counted = sources[:: 1 + len(sources) // _COUNTED]
    bar = ProgressBar(counted, "counting frames", unit="clip")
    num_frames = sum(_estimated_frames(source) for source in bar)
    num_bytes = flow_bytes(num_frames, image_size) + len(counted) * _BYTES_PER_FILE
    return num_bytes * len(sources) // max(len(counted), 1)


def _estimated_frames(source: FrameSource) -> int:
    found = result_or_error(source.name, source.estimated_frames)
    return 0 if isinstance(found, DataError) else found
