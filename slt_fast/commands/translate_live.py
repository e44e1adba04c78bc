"""Translates a camera or a stream for slt-translate, until it ends or Ctrl-C is pressed."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from slt_fast.commands.translate_output import Said, Style
from slt_fast.commands.translate_timing import Timing
from slt_fast.data.video.live import LiveReader, LiveSource
from slt_fast.errors import printable
from slt_fast.files import replacing
from slt_fast.inference.pauses import PauseConfig
from slt_fast.inference.streaming import Partial, Segment
from slt_fast.inference.translator import Translator

_PARTIAL_SECONDS = 0.5  # of video between two provisional lines


def translate_live(
    translator: Translator,
    style: Style,
    *,
    camera: int | None,
    stream: str | None,
    pauses: PauseConfig,
    output: Path | None,
    timing: Timing,
) -> int:
    """Translates a camera or a stream; the last sentence is translated whatever ends it.

    Args:
        translator: The model.
        style: How translations are written.
        camera: Number of a camera; None takes the stream.
        stream: Address of the stream; None takes the camera.
        pauses: What a pause is.
        output: File to write; None prints, and shows what is said so far on a terminal.
        timing: Counts sentences and frames.

    Returns:
        The exit status: 0, or 128 plus the number of the signal that ended it.

    Raises:
        DataError: The source cannot be read, or breaks off; what was said before is written.
    """
    source = LiveSource.camera(camera) if camera is not None else LiveSource.at(stream or "-")
    with LiveReader(source) as reader, _ending(reader) as signals, ExitStack() as files:
        line = _Line(output is None and style.format == "text" and sys.stdout.isatty())
        file = sys.stdout
        if output is not None:
            temporary = files.enter_context(replacing(output))
            file = files.enter_context(temporary.open("w", encoding="utf-8"))
        partial = Partial(_PARTIAL_SECONDS, lambda: reader.is_late) if line.is_shown else None
        segments = translator.stream(
            reader.frames(), frame_rate=reader.frame_rate(), pauses=pauses, partial=partial
        )
        for piece in style.pieces(_finals(segments, source.name, line, timing)):
            line.clear()
            print(piece, end="", file=file, flush=True)
        line.clear()
        timing.num_dropped = reader.num_dropped
        timing.end_video(reader.seconds)
    if reader.num_dropped:
        text = "left out, because the translation is slower than they come"
        print(f"{source.name}: {reader.num_dropped} frames {text}", file=sys.stderr)
    reader.check()
    if output is not None:
        print(f"wrote {printable(str(output))}")
    return 128 + signals[0] if signals else 0


def _finals(segments: Iterator[Segment], name: str, line: _Line, timing: Timing) -> Iterator[Said]:
    """Yields final segments; shows the others."""
    for segment in segments:
        if segment.is_final:
            timing.add(segment)
            yield Said(name, name, segment)
        else:
            line.show(segment.translation.text)


class _Line:
    """The last line of a terminal, which is drawn again and again."""

    def __init__(self, is_shown: bool) -> None:
        self.is_shown = is_shown
        self._is_drawn = False

    def show(self, text: str) -> None:
        """Draws a text; the start of one that is too long is left out."""
        width = shutil.get_terminal_size().columns - 5
        shown = printable(text)
        shown = shown if len(shown) <= width else f"...{shown[3 - width :]}"
        sys.stdout.write(f"\r\x1b[K\x1b[2m{shown} ...\x1b[0m")
        sys.stdout.flush()
        self._is_drawn = True

    def clear(self) -> None:
        """Removes it, for a final line or at the end."""
        if self._is_drawn:
            sys.stdout.write("\r\x1b[K")
            self._is_drawn = False


@contextmanager
def _ending(reader: LiveReader) -> Iterator[list[int]]:
    """Lets the first Ctrl-C or SIGTERM end the reading, and the next one end the program.

    Yields:
        The signal that came, once it has come.
    """
    signals: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: FrameType | None) -> None:
        signals.append(number)
        reader.stop()
        restore()

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    for each in before:
        signal.signal(each, stop)
    try:
        yield signals
    finally:
        restore()
