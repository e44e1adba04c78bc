"""Writes the page of a translation, for slt-translate --report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slt_fast.commands.translate_inputs import Input
from slt_fast.data.clip import Clip
from slt_fast.errors import UserError, printable
from slt_fast.files import check_outputs
from slt_fast.inference.streaming import Segment
from slt_fast.inference.translator import Translator
from slt_fast.visualize.report import Recording

_LONGEST = 300  # seconds; a page of more would be slow to open


def check_report(path: Path | None, inputs: Sequence[Input]) -> None:
    """Raises UserError if a page cannot be written for these videos."""
    if path is None:
        return
    if path.suffix.lower() != ".html":
        raise UserError(f"report: found suffix {path.suffix!r}; expected .html")
    if len(inputs) != 1:
        raise UserError(f"report: found {len(inputs)} videos; expected one")
    check_outputs({"report": path}, {"videos": [inputs[0].source.path, *inputs[0].read_with]})


def write_report_of(
    translator: Translator,
    one: Input,
    segments: Sequence[Segment],
    path: Path,
    *,
    model: str,
    wall_s: float,
) -> None:
    """Writes a page of a video that was translated, which is read once more.

    Args:
        translator: The model.
        one: The video.
        segments: What it was translated to.
        path: File to write.
        model: What the page calls the model.
        wall_s: Seconds that reading and translating took.

    Raises:
        DataError: The video cannot be read.
        UserError: It is longer than five minutes, or its frame rate is unknown.
    """
    rate = translator.images_a_second(one.source.name, one.source.frame_rate())
    source = translator.resampled(one.source)
    clip = Clip(source.name, source)
    recording = Recording(translator.trained, clip, rate=rate, longest_s=_LONGEST)
    for _ in recording.images(source.timed_frames()):
        pass
    seconds = len(recording.frames) / rate
    facts = [
        ("Model", model),
        ("Video", f"{seconds:.1f} s at {rate:g} frames a second"),
        ("Read and translated in", f"{wall_s:.2f} s ({seconds / wall_s:.1f} times real time)"),
    ]
    recording.write(path, segments, title=Path(source.name).name, facts=facts)
    print(f"wrote {printable(str(path))}: {len(segments)} sentences")
