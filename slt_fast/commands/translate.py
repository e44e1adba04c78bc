"""Translates a video file or a folder of frames.

slt-translate clip.mp4 --checkpoint runs/quickstart/best
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from slt_fast import Translator, command_line
from slt_fast.errors import printable


@dataclass(frozen=True)
class Arguments:
    """Translates a video file or a folder of frames."""

    video: Annotated[Path, tyro.conf.Positional]
    """Video file of any container OpenCV opens, or folder of frames."""
    checkpoint: Path
    """Folder of a checkpoint, or of a run (its best checkpoint)."""
    start: int | None = None
    """First frame, from 0; by default 0."""
    end: int | None = None
    """Frame after the last one; by default the end of the video."""
    device: str = "auto"
    """auto takes the GPU if there is one."""


def main() -> None:
    """Translates a video as the command line says."""
    arguments = command_line.parse(Arguments, __doc__)
    translator = Translator.load(arguments.checkpoint, device=arguments.device)
    translation = translator(arguments.video, start=arguments.start, end=arguments.end)
    print(printable(translation.text))
    none = "none" if translator.knows_glosses else "none (the model was trained without)"
    print("glosses:", printable(" ".join(translation.glosses)) or none)


def entry() -> None:
    """Runs the command line."""
    command_line.run(main)
