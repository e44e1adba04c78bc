"""Translates a video file or a folder of frames.

python scripts/translate.py clip.mp4 --checkpoint runs/quickstart/best
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from slt_fast.checkpoint import load_model
from slt_fast.command_line import run
from slt_fast.data.video.source import VideoSource
from slt_fast.data.vocabulary import GLOSS_SPECIALS
from slt_fast.device import choose_device
from slt_fast.inference.translate import translate_source


@dataclass(frozen=True)
class Arguments:
    """Translates a video file or a folder of frames."""

    video: Annotated[Path, tyro.conf.Positional]
    """Video file of any container OpenCV opens, or folder of frames."""
    checkpoint: Path
    """Folder of a checkpoint or of a run (its best checkpoint)."""
    start: int | None = None
    """First frame, from 0; by default 0."""
    end: int | None = None
    """Frame after the last one; by default the video's end."""
    device: str = "auto"
    """auto takes the GPU if there is one."""


def main() -> None:
    arguments = tyro.cli(Arguments, description=__doc__)
    source = VideoSource(arguments.video, arguments.start, arguments.end)
    trained = load_model(arguments.checkpoint)
    trained.network.to(choose_device(arguments.device))
    translation = translate_source(trained, source)
    print(translation.text)
    knows_glosses = len(trained.vocabularies.gloss) > len(GLOSS_SPECIALS)
    none = "none" if knows_glosses else "none (the model was trained without)"
    print("glosses:", " ".join(translation.glosses) or none)


if __name__ == "__main__":
    run(main)
