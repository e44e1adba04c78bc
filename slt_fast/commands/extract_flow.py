"""Computes the optical flow of a data set once, for training from disk.

slt-extract-flow phoenix14t:PATH --output flow --workers 16

torchrun --nproc-per-node 4 scripts/extract_flow.py manifest.csv --output flow --workers 4

Training reads it with --flow-cache. To resume, run the command again.
"""

import logging
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from slt_fast import command_line
from slt_fast.data.flow_cache.cache import cached_rate, flow_bytes, open_flow_cache
from slt_fast.data.flow_cache.extraction import extract, make_plan, share_of_work
from slt_fast.data.frame_source import FrameRate, common_rate, with_rate
from slt_fast.data.input import InputConfig, flow_device
from slt_fast.data.skipped import SkippedClips
from slt_fast.data.sources import read_videos
from slt_fast.device import choose_device
from slt_fast.errors import UserError
from slt_fast.settings import Bounds, check_settings, format_bytes


@dataclass(frozen=True)
class Arguments:
    """Computes the optical flow of a data set once, for training from disk."""

    output: Path
    """Folder of the flow; the --flow-cache of training."""
    source: Annotated[str, tyro.conf.Positional] = ""
    """Video, folder of videos or frames, manifest, phoenix14t[-rendered]:PATH or
    synthetic[-agreement][:SEED]."""
    preset: str = InputConfig.flow_preset
    """Preset of the flow: fast, default, best, opencv_ultrafast, opencv_fast, opencv_medium,
    raft_small or raft_large; training needs the same --flow-preset."""
    backend: str = InputConfig.flow_backend
    """auto, cpu, cuda, opencv, raft or reference."""
    size: int = InputConfig.image_size
    """Height and width of the flow in pixels; training needs the same --image-size."""
    fps: FrameRate | None = None
    """Frames per second that clips are resampled to; native keeps their own. By default that of the
    folder, if it holds flow already, or else the median of the clips'."""
    workers: Annotated[int, Bounds(ge=0)] | None = None
    """Processes; by default one per core. 0 works in this one."""
    device: str = "auto"
    """auto takes the GPU if there is one that the backend runs on; otherwise processes compute."""
    splits: tuple[str, ...] = ()
    """Splits of an annotated data set; by default all."""
    skip_bad: bool = False
    """Leave out and list clips that cannot be read, instead of stopping at the first."""

    def __post_init__(self) -> None:
        if not self.source and self.splits:  # the last word after --splits is the source
            *splits, source = self.splits
            object.__setattr__(self, "splits", tuple(splits))
            object.__setattr__(self, "source", source)
        if not self.source:
            raise UserError("source: found none; expected a video, a folder or a data set")
        check_settings(self)


def main() -> None:
    """Computes flow as the command line says."""
    arguments = command_line.parse(Arguments, __doc__)
    started = time.monotonic()
    skipped = SkippedClips()
    on_error = skipped if arguments.skip_bad else None
    rank, world_size = share_of_work()
    config = InputConfig(
        image_size=arguments.size, flow_preset=arguments.preset, flow_backend=arguments.backend
    )
    device = flow_device(config, choose_device(arguments.device))
    data_root, sources = read_videos(arguments.source, splits=arguments.splits, on_error=on_error)
    fps = arguments.fps
    if fps is None:
        fps = cached_rate(arguments.output) or common_rate(sources)
    sources = [with_rate(source, fps) for source in sources]
    cache = open_flow_cache(arguments.output, config, data_root, fps=fps, create=True)
    plan = make_plan(sources, cache, rank=rank, world_size=world_size)
    logging.info(plan.check_space(cache))
    num_workers = torch.get_num_threads() if arguments.workers is None else arguments.workers
    lengths = extract(
        plan, cache, config, num_workers=num_workers, device=device, on_error=on_error
    )
    num_bytes = format_bytes(flow_bytes(sum(lengths), config.image_size))
    print(
        f"{plan.label}: computed {len(lengths)} clips with {sum(lengths)} frames ({num_bytes}, "
        f"{time.monotonic() - started:.0f} seconds), found {plan.num_found} there, "
        f"left out {len(skipped.lines)}"
    )
    print("to train on it:", shlex.join(training_options(arguments)))


def training_options(arguments: Arguments) -> list[str]:
    """Returns the options of slt-train for this flow."""
    options = ["--flow-cache", str(arguments.output), "--flow-preset", arguments.preset]
    if arguments.backend != InputConfig.flow_backend:
        options += ["--flow-backend", arguments.backend]
    return [*options, "--image-size", str(arguments.size)]


def entry() -> None:
    """Runs the command line."""
    command_line.run(main)
