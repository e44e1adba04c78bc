"""Writes translations as text, JSON lines or subtitles, to files or to standard output."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

from slt_fast.commands.translate_inputs import Input
from slt_fast.data.datasets.subtitle_text import HEADERS, clock, cue_blocks
from slt_fast.errors import UserError, printable
from slt_fast.files import check_outputs
from slt_fast.inference.streaming import Segment

Format = Literal["text", "jsonl", "srt", "vtt"]
_SUFFIXES: dict[Format, str] = {"text": ".txt", "jsonl": ".jsonl", "srt": ".srt", "vtt": ".vtt"}


class Said(NamedTuple):
    """What is said in a part of a video."""

    name: str  # of the video, or its id in a manifest
    video: str  # path or address
    segment: Segment


@dataclass(frozen=True)
class Style:
    """How translations are written.

    Args:
        format: Text, JSON lines or subtitles.
        n_best: Sentences for each segment, with their scores.
        names: Whether text names each video.
        knows_glosses: Whether the model recognises glosses.
    """

    format: Format
    n_best: int
    names: bool
    knows_glosses: bool

    def pieces(self, said: Iterable[Said]) -> Iterator[str]:
        """Yields what a file holds, piece by piece, as soon as a segment is known.

        Args:
            said: Segments of videos; for subtitles of one video, in the order of time.

        Raises:
            UserError: Subtitles of a segment without times.
        """
        if self.format == "srt" or self.format == "vtt":
            yield HEADERS[self.format]
            yield from cue_blocks(map(_cue, said), self.format)
        elif self.format == "jsonl":
            yield from map(self._json_line, said)
        else:
            for name, of_video in groupby(said, key=lambda one: one.name):
                yield f"{printable(name)}:\n" if self.names else ""
                yield from (self.text(one.segment) for one in of_video)

    def text(self, segment: Segment) -> str:
        """Returns the lines of a segment: its times if it is a part of the video, text, glosses."""
        said = segment.translation
        time = "" if segment.is_whole else f"{clock(segment.start_s)} --> {clock(segment.end_s)} "
        if self.n_best == 1:
            lines = [time + printable(said.text)]
        else:
            best = said.candidates[: self.n_best]
            lines = [f"{time}{score:.3f} {printable(text)}" for text, score in best]
        if segment.is_whole:
            none = "none" if self.knows_glosses else "none (the model was trained without)"
            lines.append(f"glosses: {printable(' '.join(said.glosses)) or none}")
        return "".join(f"{line}\n" for line in lines)

    def _json_line(self, one: Said) -> str:
        segment, said = one.segment, one.segment.translation
        best = [{"text": text, "score": score} for text, score in said.candidates[: self.n_best]]
        values: dict[str, Any] = {
            "video": one.video,
            **({"id": one.name} if one.name != one.video else {}),
            "start": _rounded(segment.start_s),
            "end": _rounded(segment.end_s),
            "text": said.text,
            "glosses": list(said.glosses) if self.knows_glosses else None,
            "score": said.candidates[0].score if said.candidates else None,
            "n_best": best,
        }
        return json.dumps(values, ensure_ascii=False) + "\n"


def _cue(said: Said) -> tuple[float, float, str]:
    segment = said.segment
    if math.isnan(segment.start_s):
        raise UserError(
            f"{said.name}: found frames without times; expected --folder-fps for subtitles"
        )
    return segment.start_s, segment.end_s, segment.translation.text


def _rounded(seconds: float) -> float | None:
    """Returns milliseconds as JSON has them; None if the time is unknown."""
    return None if math.isnan(seconds) else round(seconds, 3)


def plan_outputs(
    inputs: Sequence[Input], form: Format, output: Path | None, *, beside: bool
) -> dict[Path | None, list[Input]]:
    """Decides which file the translations of each video go to; None is standard output.

    Args:
        inputs: The videos.
        form: The format. Text and JSON lines of many videos can be in one file.
        output: File; or a folder, which exists, for a file a video.
        beside: Whether each video has its file beside it.

    Raises:
        DataError, OSError: A file cannot be written.
        UserError: Subtitles of several videos in one place, or a file that belongs to the inputs.
    """
    plan: dict[Path | None, list[Input]] = {}
    for one in inputs:
        path = output
        if beside:
            path = _named(one, one.source.path.parent, form)
        elif output is not None and output.is_dir():
            path = _named(one, output, form)
        plan.setdefault(path, []).append(one)
    if form in ("srt", "vtt"):
        for path, group in plan.items():
            if len(videos := {one.source.path for one in group}) > 1:
                found = f"{len(videos)} videos for {path or 'standard output'}"
                raise UserError(f"output: found {found}; expected an existing folder, or --beside")
    written = [path for path in plan if path is not None]
    read = [path for one in inputs for path in (one.source.path, *one.read_with)]
    check_outputs({"output": written}, {"videos": list(dict.fromkeys(read))})
    return plan


def _named(one: Input, folder: Path, form: Format) -> Path:
    path = one.source.path
    return folder / ((path.name if path.is_dir() else path.stem) + _SUFFIXES[form])
