"""Translates video files or folders of frames; or glosses, with a model that takes them.

slt-translate clip.mp4

slt-translate clip.mp4 --checkpoint runs/quickstart/best

slt-translate first.mp4 second.mp4 --checkpoint runs/quickstart/best

slt-translate --glosses "MORGEN REGEN" --checkpoint runs/gloss-to-text/best
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from slt_fast import Translator, command_line
from slt_fast.data.frame_source import FrameRate, Rate
from slt_fast.errors import UserError, printable
from slt_fast.inference.translate import Translation
from slt_fast.settings import Bounds, check_settings


@dataclass(frozen=True)
class Arguments:
    """Translates video files or folders of frames; or glosses, with a model that takes them."""

    videos: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Video files that FFmpeg decodes, or folders of frames; the model is loaded once. One that
    cannot be read is reported and left out; the exit status is then 1."""
    checkpoint: Path | None = None
    """Folder of a checkpoint, or of a run (its best checkpoint). By default the model that comes
    with slt_fast, which knows only a signer drawn by code."""
    glosses: str | None = None
    """Glosses to translate instead of videos, separated by spaces."""
    start: int | None = None
    """First frame, from 0; by default 0."""
    end: int | None = None
    """Frame after the last one; by default the end of the video."""
    fps: FrameRate | None = None
    """Frames per second that frames are resampled to; native keeps all. By default as trained."""
    n_best: Annotated[int, Bounds(ge=1), Bounds(le=100)] = 1
    """Sentences to print, the best first, each with the score that ranks it; at most the beams of
    the search. There are fewer lines if it finds fewer texts."""
    beam_size: int | None = None
    """Beams of the search; by default the recipe's."""
    length_penalty: float | None = None
    """Length penalty of the search; by default the recipe's."""
    folder_fps: Rate | None = None
    """Frames per second of a folder of frames; by default those that frames are resampled to."""
    device: str = "auto"
    """auto takes the GPU if there is one."""

    def __post_init__(self) -> None:
        if not self.videos and self.glosses is None:
            raise UserError("videos: found none; expected at least one, or glosses")
        of_videos = self.videos or (self.start, self.end) != (None, None)
        if self.glosses is not None and of_videos:
            raise UserError("glosses: found videos, start or end as well; expected glosses alone")
        check_settings(self)
        if self.folder_fps is not None and all(video.is_file() for video in self.videos):
            found = f"folder_fps: found {self.folder_fps:g}, but no folder among the videos"
            raise UserError(f"{found}; expected a folder of frames: a video states its rate")


def main() -> None:
    """Translates videos as the command line says."""
    arguments = command_line.parse(Arguments, __doc__)
    translator = Translator.load(arguments.checkpoint, device=arguments.device, fps=arguments.fps)
    translator.search_with(beam_size=arguments.beam_size, length_penalty=arguments.length_penalty)
    beams, wanted = translator.trained.recipe.search.beam_size, arguments.n_best
    if wanted > beams:  # more beams could find another best sentence
        expected = f"expected at most {beams}, or --beam-size {wanted}"
        raise UserError(f"n_best: found {wanted} with a beam size of {beams}; {expected}")
    if arguments.glosses is not None:
        _show(translator.translate_glosses(arguments.glosses), arguments.n_best)
        return
    none = "none" if translator.knows_glosses else "none (the model was trained without)"
    status = 0
    for video in arguments.videos:
        try:
            translation = translator(
                video, start=arguments.start, end=arguments.end, folder_fps=arguments.folder_fps
            )
        except (UserError, OSError) as error:
            command_line.show_error(error)
            status = 1
            continue
        if len(arguments.videos) > 1:
            print(f"{printable(str(video))}:")
        _show(translation, arguments.n_best)
        print("glosses:", printable(" ".join(translation.glosses)) or none, flush=True)
    sys.exit(status)


def _show(translation: Translation, n_best: int) -> None:
    """Prints the best sentence, or several with their scores."""
    if n_best == 1:
        print(printable(translation.text))
        return
    for text, score in translation.candidates[:n_best]:
        print(f"{score:.3f} {printable(text)}")


def entry() -> None:
    """Runs the command line."""
    command_line.run(main)
