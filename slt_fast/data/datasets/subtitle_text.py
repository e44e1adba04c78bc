"""Writes subtitles: WebVTT (.vtt) and SubRip (.srt), as subtitles.py reads them."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Literal

SubtitleFormat = Literal["vtt", "srt"]

# Characters of a line, as broadcasters have it; a text takes as many lines as it needs.
_LINE = 42
# SubRip has no escapes. An invisible word joiner keeps a text from looking like a tag or a timing.
_NO_TAG, _JOINER = re.compile(r"<(?=[/A-Za-z])|\{(?=\\)|--(?=>)"), "\u2060"
HEADERS: dict[SubtitleFormat, str] = {"vtt": "WEBVTT\n\n", "srt": ""}


def cue_blocks(cues: Iterable[tuple[float, float, str]], kind: SubtitleFormat) -> Iterator[str]:
    """Yields the blocks of cues, which follow HEADERS[kind] in a file.

    Cues that overlap the one before them start at its end; those without a text are left out.

    Args:
        cues: Seconds of start and end, and text, in the order of their starts.
        kind: The format.

    Raises:
        ValueError: The cues are in another order.
    """
    number, last_start, shown_until = 0, 0, 0  # milliseconds
    for start_s, end_s, text in cues:
        start, end = (max(round(1000 * seconds), 0) for seconds in (start_s, end_s))
        if start < last_start:
            raise ValueError(f"cue_blocks: found a start at {start_s} s after {last_start} ms")
        last_start = start
        if not text.strip():
            continue
        start = max(start, shown_until)
        shown_until = max(end, start + 1)
        number += 1
        timing = f"{_stamp(start, kind)} --> {_stamp(shown_until, kind)}"
        yield f"{number}\n{timing}\n{_escaped(text, kind)}\n\n"


def clock(seconds: float) -> str:
    """Returns a time as HH:MM:SS.mmm."""
    return _stamp(max(round(1000 * seconds), 0), "vtt")


def _stamp(milliseconds: int, kind: SubtitleFormat) -> str:
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    point = "." if kind == "vtt" else ","
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{thousandths:03d}"


def _escaped(text: str, kind: SubtitleFormat) -> str:
    lines = _balanced(" ".join(text.split()))
    if kind == "vtt":
        return html.escape("\n".join(lines), quote=False)
    return _NO_TAG.sub(lambda found: found[0] + _JOINER, "\n".join(lines))


def _balanced(text: str) -> list[str]:
    """Breaks a text into few lines of about one length."""
    lines = _wrapped(text, _LINE)
    for width in range(len(text) // len(lines), _LINE):
        narrower = _wrapped(text, max(width, 1))
        if len(narrower) == len(lines):
            return narrower
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
