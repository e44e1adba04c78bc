"""Reads subtitles: WebVTT (.vtt, https://www.w3.org/TR/webvtt1) and SubRip (.srt) files.

Both are blocks of lines between empty lines. A cue has a line of its own with a name or a number,
which may be missing, its timing, and lines of text:

    12
    00:00:04,200 --> 00:00:06,900
    <i>The text</i> may have tags.

WebVTT starts with the line WEBVTT, has a dot in its timestamps, whose hours may be missing, and has
blocks NOTE, STYLE and REGION, which are skipped. Tags are removed, and what follows a timing is
ignored.
"""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from slt_fast.data.datasets.text_lines import read_lines
from slt_fast.errors import DataError, warn_once

_HEADER = re.compile(r"WEBVTT([ \t].*)?")
_NO_CUE = re.compile(r"(NOTE|STYLE|REGION)([ \t].*)?")
_TIMING = re.compile(r"\s*(\S+)[ \t]+-->[ \t]+(\S+)(?:[ \t].*)?")
_STAMPS = {
    ".vtt": re.compile(r"(?:([0-9]{2,6}):)?([0-5][0-9]):([0-5][0-9])\.([0-9]{3})"),
    ".srt": re.compile(r"([0-9]{1,6}):([0-5][0-9]):([0-5][0-9])[,.]([0-9]{3})"),
}
_EXAMPLES = {
    ".vtt": "00:00:04.200 --> 00:00:06.900",
    ".srt": "00:00:04,200 --> 00:00:06,900",
}
# In SubRip, < may also be itself; {\an8} is a place on the screen.
_TAGS = {".vtt": re.compile("<[^>]*>"), ".srt": re.compile(r"</?[A-Za-z][^<>]*>|\{\\[^}]*\}")}
SUBTITLE_SUFFIXES = tuple(_STAMPS)

_Block = list[tuple[int, str]]  # numbers and contents of lines


class Cue(NamedTuple):
    """A text and when it is shown."""

    number: int  # among the cues of the file, from 1
    line: int  # of its timing
    start: float  # seconds
    end: float
    timing: str  # start and end as they are written
    text: str  # in one line, without tags


def read_cues(path: Path) -> list[Cue]:
    """Reads the cues of a file, in its order; warns of those without text, which are left out.

    Args:
        path: A .vtt or .srt file in UTF-8, with or without a byte order mark.

    Raises:
        DataError: The file is missing, no such file, or not UTF-8, or has no cue with a text.
    """
    kind = path.suffix.lower()
    if kind not in _STAMPS:
        raise DataError(path, f"suffix {path.suffix!r}", " or ".join(_STAMPS))
    blocks = list(_blocks(read_lines(path, "subtitles")))
    if kind == ".vtt":
        blocks = _without_header(path, blocks)
    cues = [_parse(path, kind, number, block) for number, block in enumerate(blocks, start=1)]
    empty = [str(cue.line) for cue in cues if not cue.text]
    if len(empty) == len(cues):
        raise DataError(path, f"{len(cues)} cues, none with a text", "at least one")
    if empty:
        warn_once(f"{path}: left out {len(empty)} cues without text (lines {', '.join(empty)})")
    return [cue for cue in cues if cue.text]


def _blocks(lines: list[str]) -> Iterator[_Block]:
    block: _Block = []
    for number, line in enumerate([*lines, ""], start=1):
        if line.strip():
            block.append((number, line))
        elif block:
            yield block
            block = []


def _without_header(path: Path, blocks: list[_Block]) -> list[_Block]:
    """Returns the blocks that are cues."""
    first = blocks[0] if blocks else [(1, "")]
    if not _HEADER.fullmatch(first[0][1]) or first[0][0] != 1:
        raise DataError(path, f"{first[0][1]!r}", "WEBVTT in the first line", first[0][0])
    _check_joint(path, first[1:])
    return [block for block in blocks[1:] if not _NO_CUE.fullmatch(block[0][1])]


def _parse(path: Path, kind: str, number: int, block: _Block) -> Cue:
    """Returns the cue of a block: a name or none, the timing, and lines of text or none."""
    has_name = "-->" not in block[0][1] and len(block) > 1
    (line, content), *texts = block[has_name:]
    timing = _TIMING.fullmatch(content)
    start, end = (_seconds(kind, stamp) for stamp in timing.groups()) if timing else (None, None)
    if start is None or end is None:
        raise DataError(path, f"{content.strip()!r}", f"a timing such as {_EXAMPLES[kind]}", line)
    if end <= start:
        raise DataError(path, f"{content.strip()!r}", "an end after the start", line)
    _check_joint(path, texts)
    text = _TAGS[kind].sub("", " ".join(content for _, content in texts))
    text = html.unescape(text) if kind == ".vtt" else text
    return Cue(number, line, start, end, content.strip(), " ".join(text.split()))


def _seconds(kind: str, stamp: str) -> float | None:
    """Returns the seconds of a timestamp; None if it is none."""
    if (parts := _STAMPS[kind].fullmatch(stamp)) is None:
        return None
    hours, minutes, seconds, thousandths = (int(part or 0) for part in parts.groups())
    return 3600 * hours + 60 * minutes + seconds + thousandths / 1000


def _check_joint(path: Path, lines: _Block) -> None:
    """Raises DataError if a timing is among lines that are no cue of their own."""
    for line, content in lines:
        if "-->" in content:
            raise DataError(path, f"{content.strip()!r}", "an empty line before each cue", line)
