"""Draws where a trained model looks in a video while it says its translation.

python scripts/visualize_attention.py clip.mp4 --checkpoint runs/quickstart
python scripts/visualize_attention.py clip.mp4 --checkpoint DIR --output look.mp4 look.png
python scripts/visualize_attention.py clip.mp4 --checkpoint DIR --query 0.5 0.3
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from slt_fast import Translator
from slt_fast.checkpoint import TrainedModel, checkpoint_files
from slt_fast.command_line import parse, run
from slt_fast.data.frame_source import FrameSource, with_rate
from slt_fast.data.sources import SYNTHETIC, read_split
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import UserError, printable
from slt_fast.files import check_outputs
from slt_fast.inference.attention import attention_of
from slt_fast.inference.translate import read_source, translate_batch
from slt_fast.settings import Bounds, check_settings
from slt_fast.visualize import (
    ANIMATIONS,
    VIDEOS,
    attention_animation,
    attention_sheet,
    fitted,
    write_animation,
    write_png,
    write_video,
)

_Share = Annotated[float, Bounds(ge=0), Bounds(le=1)]


@dataclass(frozen=True)
class Arguments:
    """Draws where a model looks in a video while it says its translation."""

    checkpoint: Path
    """Folder of a checkpoint, or of a run (its best checkpoint)."""
    video: Annotated[Path | None, tyro.conf.Positional] = None
    """Video file or folder of frames; without one, a clip of the synthetic corpus."""
    output: tuple[Path, ...] = (Path("attention.png"),)
    """Files to write: a sheet (*.png), a video (*.mp4) or an animation (*.gif, *.webp)."""
    query: tuple[_Share, _Share] | None = None
    """Place whose attention is shown: x and y from 0 (left, top) to 1 (right, bottom). By default
    in each frame the place whose attention is most concentrated (of the lowest entropy)."""
    columns: int = 6
    """Frames on a sheet."""
    height: int = 200
    """Height of each frame in pixels."""
    beam_size: int | None = None
    """Beams of the search for the sentence; by default the recipe's."""
    length_penalty: float | None = None
    """Length penalty of the search; by default the recipe's."""
    device: str = "auto"
    """auto takes the GPU if there is one."""

    def __post_init__(self) -> None:
        check_settings(self)
        known = (".png", *VIDEOS, *ANIMATIONS)
        for path in self.output:
            if path.suffix.lower() not in known:
                expected = f"one of {', '.join(known)}"
                raise UserError(f"{path}: found suffix {path.suffix!r}; expected {expected}")


def choose_source(video: Path | None, trained: TrainedModel) -> FrameSource:
    """Returns a video, or a test clip of the synthetic corpus that the model learned, or any."""
    if video is not None:
        return VideoSource(video)
    learned = trained.trained_on.data
    data = learned if learned.partition(":")[0] in SYNTHETIC else "synthetic"
    return read_split(data, "test")[0].source


def main() -> None:
    """Draws what the command line says."""
    arguments = parse(Arguments, __doc__)
    read = {
        "the video": arguments.video,
        "--checkpoint": checkpoint_files(arguments.checkpoint),
    }
    check_outputs({"--output": arguments.output}, read)
    translator = Translator.load(arguments.checkpoint, device=arguments.device)
    translator.search_with(beam_size=arguments.beam_size, length_penalty=arguments.length_penalty)
    trained, words = translator.trained, translator.trained.vocabularies
    source = with_rate(choose_source(arguments.video, trained), translator.fps)
    clip = read_source(trained, source)
    (said,) = translate_batch(trained, clip, search=trained.recipe.search)
    tokens = words.encode_text(said.text)
    attention = attention_of(trained, clip, tokens, query=arguments.query)
    print("\n".join([printable(said.text), *attention.describe()]))

    frames = [fitted(frame, arguments.height) for frame in source.frames()]
    shown = frames, attention, words.units.split(said.text)
    options = {"title": Path(source.name).name, "height": arguments.height}
    fps = translator.fps if translator.fps != "native" else source.frame_rate() or 25.0
    for path in arguments.output:
        if path.suffix.lower() == ".png":
            write_png(path, attention_sheet(*shown, num_columns=arguments.columns, **options))
        else:
            write = write_video if path.suffix.lower() in VIDEOS else write_animation
            write(path, attention_animation(*shown, **options), fps=fps)
        print(f"wrote {path}")


if __name__ == "__main__":
    run(main)
