"""Reads the boxes of an MP4 or MOV file (ISO/IEC 14496-12): its end, and the frames it shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")

Span = tuple[int, int]  # positions in the file: first byte, byte after the last


def mp4_size(file: BinaryIO, num_bytes: int) -> int:
    """Returns the end of the last top-level box: the bytes that the file should have."""
    return max(end for _, (_, end) in _boxes(file, (0, num_bytes)))


def shown_frames(file: BinaryIO, num_bytes: int) -> int | None:
    """Counts the frames that the video track shows.

    Args:
        file: The file, not truncated.
        num_bytes: Size of the file.

    Returns:
        The number of samples; with an edit list, only of those whose presentation time lies in it.
        None for fragmented files and others that do not list their samples.
    """
    movie = _find(file, (0, num_bytes), b"moov")
    track = _video_track(file, movie) if movie else None
    if movie is None or track is None or _find(file, movie, b"mvex"):
        return None
    times = _sample_times(file, track, num_bytes)
    edits = _find(file, track, b"edts", b"elst")
    if edits is None:
        return len(times) or None
    ticks = _timescale(file, track, b"mdia", b"mdhd") / _timescale(file, movie, b"mvhd")
    shown = 0
    for duration, start in _edits(file, edits):
        if start >= 0:  # -1: nothing is shown
            shown += int(((times >= start) & (times < start + round(duration * ticks))).sum())
    return shown or None


def _boxes(file: BinaryIO, span: Span) -> Iterator[tuple[bytes, Span]]:
    """Yields type and content of each box (section 4.2); the last may reach beyond the file."""
    start, end = span
    while start < end:
        file.seek(start)
        header = file.read(16)
        size, content = int.from_bytes(header[:4], "big"), start + 8
        if size == 1:
            size, content = int.from_bytes(header[8:16], "big"), start + 16
        if size < 8:  # 0: the box reaches to the end; other values: padding after the last box
            size = end - start
        yield header[4:8], (content, start + size)
        start += size


def _find(file: BinaryIO, span: Span, *path: bytes) -> Span | None:
    """Returns the content of the first box of a type, within the first of another, and so on."""
    for name in path:
        inner = next((content for kind, content in _boxes(file, span) if kind == name), None)
        if inner is None:
            return None
        span = inner
    return span


def _video_track(file: BinaryIO, movie: Span) -> Span | None:
    for kind, track in _boxes(file, movie):
        handler = _find(file, track, b"mdia", b"hdlr") if kind == b"trak" else None
        if handler and _read(file, handler)[8:12] == b"vide":
            return track
    return None


def _sample_times(file: BinaryIO, track: Span, num_bytes: int) -> np.ndarray:
    """Returns each sample's presentation time in ticks (sections 8.6.1.2 and 8.6.1.3)."""
    durations, offsets = (
        _rows(file, _find(file, track, b"mdia", b"minf", b"stbl", name), ">u4,>i4")
        for name in (b"stts", b"ctts")
    )
    num_samples = sum(count for count, _ in durations)
    if num_samples > num_bytes:  # a damaged or hostile table, which must not fill the memory
        return np.zeros(0, np.int64)
    steps = _repeat(durations)
    times = np.cumsum(steps) - steps
    delays = _repeat(offsets)
    return times + delays if len(delays) == len(times) else times


def _repeat(rows: list[tuple[int, ...]]) -> np.ndarray:
    counts, values = np.array(rows, np.int64).reshape(-1, 2).T
    return np.repeat(values, counts)


def _edits(file: BinaryIO, span: Span) -> list[tuple[int, int]]:
    """Reads the edits: duration in the movie's ticks, start in the track's (section 8.6.6)."""
    layout = ">u8,>i8,>u4" if _read(file, span)[:1] == b"\1" else ">u4,>i4,>u4"
    return [(duration, start) for duration, start, _ in _rows(file, span, layout)]


def _timescale(file: BinaryIO, span: Span, *path: bytes) -> int:
    """Reads the ticks a second of a movie or media header (sections 8.2.2 and 8.4.2)."""
    header = _find(file, span, *path)
    content = _read(file, header) if header else b""
    position = 20 if content[:1] == b"\1" else 12
    return max(1, int.from_bytes(content[position : position + 4], "big"))


def _rows(file: BinaryIO, span: Span | None, layout: str) -> list[tuple[int, ...]]:
    """Reads the rows of a table: version and flags, the number of rows, the rows."""
    content = _read(file, span) if span else b""
    dtype = np.dtype(layout)
    declared = int.from_bytes(content[4:8], "big")
    count = max(0, min(declared, (len(content) - 8) // dtype.itemsize))
    return np.frombuffer(content[8:], dtype, count).tolist() if count else []


def _read(file: BinaryIO, span: Span) -> bytes:
    start, end = span
    file.seek(start)
    return file.read(max(0, end - start))
