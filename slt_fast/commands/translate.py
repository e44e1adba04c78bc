"""Translates videos, folders of frames or live input; or glosses, with a model that takes them.

slt-translate clip.mp4

slt-translate clip.mp4 --checkpoint runs/quickstart

slt-translate talks/*.mp4 --format vtt --beside --checkpoint runs/quickstart

slt-translate --camera 0 --checkpoint runs/quickstart

slt-translate --glosses "MORGEN REGEN" --checkpoint runs/gloss-to-text

A video of up to 30 seconds is one sentence. A longer one, live input, and any video that subtitles
are written of, is cut into sentences at the pauses of its motion (--sentences). docs/translating.md
says more.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from slt_fast import Translator, command_line
from slt_fast.commands.translate_inputs import Input, find_inputs
from slt_fast.commands.translate_live import translate_live
from slt_fast.commands.translate_output import Format, Said, Style, plan_outputs
from slt_fast.commands.translate_report import check_report, write_report_of
from slt_fast.commands.translate_timing import Timing
from slt_fast.data.frame_source import FrameRate, Rate
from slt_fast.errors import UserError, printable
from slt_fast.files import check_outputs, replacing
from slt_fast.inference.pauses import PauseConfig
from slt_fast.inference.streaming import Segment
from slt_fast.inference.translate import Translation
from slt_fast.inference.translator import Sentences
from slt_fast.settings import Bounds, check_settings


@dataclass(frozen=True)
class Arguments:
    """Translates videos, folders of frames or live input; or glosses."""

    videos: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Video files that FFmpeg decodes, folders of frames, folders of such videos, patterns such as
    'talks/*.mp4', or manifest:FILE; the model is loaded once. One that cannot be read is reported
    and left out; the exit status is then 1."""
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
    sentences: Sentences = "auto"
    """one takes each video as one sentence; pauses cuts it where the hands rest; auto cuts videos
    longer than --longest-sentence, live input, and all videos if subtitles are written."""
    pauses: PauseConfig = field(default_factory=PauseConfig)
    """What a pause is."""
    format: Format = "text"
    """text, jsonl (one object a sentence), or subtitles: srt or vtt."""
    output: Path | None = None
    """File to write instead of printing; or an existing folder, which gets a file a video."""
    beside: bool = False
    """Write a file beside each video, of its name."""
    report: Path | None = None
    """Also write a page (.html) of the one video: its translation, and what the model saw."""
    camera: Annotated[int, Bounds(ge=0)] | None = None
    """Number of a camera to translate live: 0 is /dev/video0. Ctrl-C ends it."""
    stream: str | None = None
    """URL (rtsp, http, udp, ...), FIFO or video file to translate live; - is standard input."""
    timing: bool = False
    """Print at the end how fast it was."""

    def __post_init__(self) -> None:
        check_settings(self)
        kinds = {
            "videos": bool(self.videos),
            "glosses": self.glosses is not None,
            "camera": self.camera is not None,
            "stream": self.stream is not None,
        }
        given = [kind for kind, is_given in kinds.items() if is_given]
        if not given:
            raise UserError("videos: found none; expected at least one, or glosses")
        if len(given) > 1:
            found = f"found {' and '.join(given)}"
            raise UserError(f"{given[-1]}: {found}; expected {given[-1]} alone")
        self._check_uses(given[0])

    def _check_uses(self, kind: str) -> None:
        """Raises UserError for an option that has no meaning for this kind of input."""
        defaults = {name: one.default for name, one in self.__dataclass_fields__.items()}
        of_files = ("start", "end", "beside", "report")
        unused = {
            "videos": (),
            "glosses": (*of_files, "sentences", "format", "output", "timing"),
            "camera": (*of_files, "folder_fps"),
            "stream": (*of_files, "folder_fps"),
        }[kind]
        for name in unused:
            if getattr(self, name) != defaults[name]:
                raise UserError(f"{kind}: found {name} as well; expected {kind} without it")
        if self.beside and self.output is not None:
            raise UserError(f"beside: found output {self.output} as well; expected one of the two")
        subtitles = self.format in ("srt", "vtt")
        if subtitles and self.n_best > 1:
            expected = f"expected 1, as {self.format} has one text at a time"
            raise UserError(f"n_best: found {self.n_best}; {expected}")
        if kind in ("camera", "stream") and self.sentences == "one":
            raise UserError(f"sentences: found one for a {kind}; expected pauses or auto")
        if self.folder_fps is not None and all(Path(video).is_file() for video in self.videos):
            found = f"folder_fps: found {self.folder_fps:g}, but no folder among the videos"
            raise UserError(f"{found}; expected a folder of frames: a video states its rate")


def main() -> None:
    """Translates videos as the command line says."""
    arguments = command_line.parse(Annotated[Arguments, tyro.conf.OmitArgPrefixes], __doc__)
    errors = _Errors()
    inputs = find_inputs(
        arguments.videos,
        start=arguments.start,
        end=arguments.end,
        folder_fps=arguments.folder_fps,
        on_error=errors,
    )
    output, beside = arguments.output, arguments.beside
    check_report(arguments.report, inputs)
    plan = plan_outputs(inputs, arguments.format, output, beside=beside)
    if not arguments.videos and output is not None:
        check_outputs({"output": output}, {})
    translator = _load(arguments)
    if arguments.glosses is not None:
        _show(translator.translate_glosses(arguments.glosses), arguments.n_best)
        return
    names = len(inputs) > 1 or errors.any  # then it is not clear which one was translated
    style = Style(arguments.format, arguments.n_best, names, translator.knows_glosses)
    timing = Timing()
    translated: list[Segment] = []
    if arguments.videos:
        for path, group in plan.items():
            said = _said(translator, group, arguments, timing, errors)
            if arguments.report:
                said = _kept(said, translated)
            _write(style, said, path, is_subtitle=arguments.format in ("srt", "vtt"))
        if arguments.report and not errors.any:
            name = "the one that comes with slt_fast"
            if arguments.checkpoint:
                name = arguments.checkpoint.name
            wall_s = timing.wall_s()
            write_report_of(
                translator, inputs[0], translated, arguments.report, model=name, wall_s=wall_s
            )
        status = int(errors.any)
    else:
        status = translate_live(
            translator,
            style,
            camera=arguments.camera,
            stream=arguments.stream,
            pauses=arguments.pauses,
            output=output,
            timing=timing,
        )
    if arguments.timing:
        print(timing, file=sys.stderr)
    sys.exit(status)


def _kept(said: Iterator[Said], segments: list[Segment]) -> Iterator[Said]:
    """Passes translations on, and keeps them."""
    for one in said:
        segments.append(one.segment)
        yield one


class _Errors:
    """Shows errors of videos, which are left out, and remembers that there were some."""

    def __init__(self) -> None:
        self.any = False

    def __call__(self, error: UserError | OSError) -> None:
        command_line.show_error(error)
        self.any = True


def _load(arguments: Arguments) -> Translator:
    translator = Translator.load(arguments.checkpoint, device=arguments.device, fps=arguments.fps)
    translator.search_with(beam_size=arguments.beam_size, length_penalty=arguments.length_penalty)
    beams, wanted = translator.trained.recipe.search.beam_size, arguments.n_best
    if wanted > beams:  # more beams could find another best sentence
        expected = f"expected at most {beams}, or --beam-size {wanted}"
        raise UserError(f"n_best: found {wanted} with a beam size of {beams}; {expected}")
    return translator


def _said(
    translator: Translator,
    inputs: Sequence[Input],
    arguments: Arguments,
    timing: Timing,
    errors: _Errors,
) -> Iterator[Said]:
    """Translates videos; one that cannot be read ends with an error line."""
    sentences = arguments.sentences
    if sentences == "auto" and arguments.format in ("srt", "vtt"):
        sentences = "pauses"
    for one in inputs:
        none = True
        try:
            for segment in translator.segments(
                one.source, sentences=sentences, pauses=arguments.pauses
            ):
                none = False
                timing.add(segment)
                yield Said(one.name, one.source.name, segment)
            timing.end_video()
        except (UserError, OSError) as error:
            errors(error)
            continue
        if none:
            logging.warning("%s: found no sentence: no movement between rests", one.name)


def _write(style: Style, said: Iterator[Said], path: Path | None, *, is_subtitle: bool) -> None:
    """Prints translations as they come, or writes a file of them."""
    if path is None:
        for piece in style.pieces(said):
            print(piece, end="", flush=True)
        return
    found = list(said)
    if is_subtitle:  # a manifest may have the parts of a video in any order
        found.sort(key=lambda one: one.segment.start_s)
        empty = sum(not one.segment.translation.text for one in found)
        if empty:
            text = "%s: left out %d of %d sentences, of which the model says nothing"
            logging.warning(text, path, empty, len(found))
    with replacing(path) as temporary:
        temporary.write_text("".join(style.pieces(found)), encoding="utf-8")
    print(f"wrote {printable(str(path))}: {len(found)} sentences")


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
