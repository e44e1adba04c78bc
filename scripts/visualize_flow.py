"""Draws a page of clips: frames, and below them their optical flow.

python scripts/visualize_flow.py first.mp4 second.gif folder --output page.png
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from slt_fast.command_line import run
from slt_fast.data.frame_source import FrameSource
from slt_fast.data.input import InputConfig
from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.video.source import VideoSource
from slt_fast.visualize import flow_sheet, page, write_png


@dataclass(frozen=True)
class Arguments:
    """Draws frames of clips with their flow: as it is (u, v, size), and as colours."""

    videos: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Video files or folders of frames; without any, clips of the synthetic corpus are drawn."""
    output: Path = Path("flow.png")
    """Picture to write, *.png."""
    columns: int = 6
    """Frames shown of each clip."""
    clips: int = 3
    """Clips of the synthetic corpus."""
    height: int = 160
    """Height of each picture in pixels."""
    bound: float = 8.0
    """Motion that saturates the colours, in pixels of the pictures (not of the frames)."""
    preset: str = InputConfig.flow_preset
    """Preset of slt_fast.ops.optical_flow."""
    backend: str = InputConfig.flow_backend
    """Backend of slt_fast.ops.optical_flow."""

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ValueError(f"clips: found {self.clips}; expected at least 1")


def sheet(source: FrameSource, title: str, arguments: Arguments) -> np.ndarray:
    """Frames of a clip with their flow."""
    frames = source.read()
    H, W = frames.shape[1:3]
    try:
        return flow_sheet(
            frames,
            f"{title}: {len(frames)} frames of {W}x{H}",
            num_columns=arguments.columns,
            height=arguments.height,
            bound=arguments.bound,
            preset=arguments.preset,
            backend=arguments.backend,
        )
    except ValueError as error:
        raise ValueError(f"{source.name}: {error}") from error


def main() -> None:
    arguments = tyro.cli(Arguments, description=__doc__)
    if arguments.videos:
        sources = [(VideoSource(path), path.name) for path in arguments.videos]
    else:
        clips = read_synthetic("test", num_clips=arguments.clips)
        sources = [(clip.source, clip.id) for clip in clips]
    sheets = [sheet(source, title, arguments) for source, title in sources]
    write_png(arguments.output, page(sheets))
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    run(main)
