"""Draws frames of a clip with their optical flow below.

python scripts/visualize_flow.py clip.mp4 --output flow.png
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from slt_fast.command_line import run
from slt_fast.data.clip import FrameSource
from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.video import VideoSource
from slt_fast.visualize import frames_and_flow, write_png


@dataclass(frozen=True)
class Arguments:
    """Draws frames of clips with their flow: as it is (u, v, magnitude), and as colours."""

    video: Annotated[Path | None, tyro.conf.Positional] = None
    """Video file or folder of frames; without it, clips of the synthetic corpus are drawn."""
    output: Path = Path("flow.png")
    """Picture to write, *.png."""
    columns: int = 8
    """Frames shown of each clip."""
    clips: int = 3
    """Clips of the synthetic corpus."""
    bound: float = 8.0
    """Motion that saturates the colours, pixels."""

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ValueError(f"clips: found {self.clips}; expected at least 1")


def sheet(source: FrameSource, arguments: Arguments) -> np.ndarray:
    """Frames of a clip with their flow."""
    frames = source.read()
    try:
        return frames_and_flow(frames, num_columns=arguments.columns, bound=arguments.bound)
    except ValueError as error:
        raise ValueError(f"{source.name}: {error}") from error


def main() -> None:
    arguments = tyro.cli(Arguments, description=__doc__)
    if arguments.video:
        sources = [VideoSource(arguments.video)]
    else:
        sources = [clip.source for clip in read_synthetic("test", num_clips=arguments.clips)]
    sheets = [sheet(source, arguments) for source in sources]
    write_png(arguments.output, np.concatenate(sheets))
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    run(main)
