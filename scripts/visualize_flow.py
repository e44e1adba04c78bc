"""Draws clips with their optical flow below, as a page or as an animation.

python scripts/visualize_flow.py first.mp4 second.gif folder --output page.png
python scripts/visualize_flow.py --height 112 --output signers.webp
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from slt_fast.command_line import parse, run
from slt_fast.data.frame_source import FrameSource
from slt_fast.data.input import InputConfig
from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import UserError
from slt_fast.files import check_outputs
from slt_fast.settings import Bounds, check_settings
from slt_fast.visualize import (
    ANIMATIONS,
    flow_animation,
    flow_sheet,
    page,
    write_animation,
    write_png,
)


@dataclass(frozen=True)
class Arguments:
    """Draws frames of clips with their flow: as it is (u, v, size), and as colours."""

    videos: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Video files or folders of frames; without any, clips of the synthetic corpus are drawn."""
    output: Path = Path("flow.png")
    """Picture to write: a page (*.png) or an animation (*.gif, *.webp)."""
    columns: int = 6
    """Frames of each clip on a page."""
    clips: Annotated[int, Bounds(ge=1)] = 3
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
        check_settings(self)


def draw_page(
    sources: Sequence[FrameSource], titles: Sequence[str], columns: int, options: dict[str, Any]
) -> np.ndarray:
    """Draws one sheet a clip, below each other."""
    sheets = []
    for source, title in zip(sources, titles, strict=True):
        frames = source.read()
        H, W = frames.shape[1:3]
        title = f"{title}: {len(frames)} frames of {W}x{H}"
        try:
            sheets.append(flow_sheet(frames, title, num_columns=columns, **options))
        except UserError as error:
            raise UserError(f"{source.name}: {error}") from error
    return page(sheets)


def main() -> None:
    """Draws what the command line says."""
    arguments = parse(Arguments, __doc__)
    check_outputs({"--output": arguments.output}, {"the videos": arguments.videos})
    sources: list[FrameSource] = [VideoSource(path) for path in arguments.videos]
    titles = [path.name for path in arguments.videos]
    if not sources:
        clips = read_synthetic("test", num_clips=arguments.clips)
        sources, titles = [clip.source for clip in clips], [clip.id for clip in clips]
    options = {name: getattr(arguments, name) for name in ("height", "bound", "preset", "backend")}
    if arguments.output.suffix.lower() in ANIMATIONS:
        pictures = flow_animation([source.read() for source in sources], titles, **options)
        write_animation(arguments.output, pictures)
    else:
        write_png(arguments.output, draw_page(sources, titles, arguments.columns, options))
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    run(main)
