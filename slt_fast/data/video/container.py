"""Detects truncated video files from their container, before anything is decoded.

MP4/MOV, AVI, GIF, Matroska/WebM, WMV/ASF and Ogg declare where they end; FFmpeg does not check it.
Others (ts, mpg, flv) do not declare it: if they are cut between two packets, they pass as shorter
videos. So do raw streams (hevc, obu, dv, y4m), wherever they are cut.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from slt_fast.errors import DataError

_UNKNOWN_RIFF_SIZES = (0, 0xFFFFFFFF)
_EBML_ID, _SEGMENT_ID = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ASF_PROPERTIES_ID = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MP4_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_LARGEST_OGG_PAGE = 65_307


class Listing(NamedTuple):
    """What a container says of its frames.

    Args:
        is_listed: True if it lists all of them, as GIF, AVI and MP4/MOV without fragments do.
        num_frames: Their number, counted here for GIF only.
    """

    is_listed: bool
    num_frames: int | None = None


def check_complete(path: Path) -> Listing:
    """Raises DataError if a video file is truncated, as far as its container reveals it.

    Args:
        path: The file.

    Raises:
        DataError: The file is empty, is text, or ends before its container does.
    """
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
        # FFmpeg would decode a .txt file as a video of its letters.
        if b"\0" not in head and not head.startswith(b"YUV4MPEG2 "):
            raise DataError(path, "text" if head else "an empty file", "a video file")
        if head.startswith(b"GIF8"):
            return Listing(True, _count_gif_frames(path))
        boxes = list(_mp4_boxes(file, num_bytes)) if head[4:8] in _MP4_FIRST_BOXES else []
        declared = max(end for _, end in boxes) if boxes else _declared_size(head)
        if head.startswith(b"OggS"):
            declared = _ogg_size(path, file, num_bytes)
    if declared is not None and num_bytes < declared:
        raise DataError(
            path,
            f"{num_bytes} bytes",
            f"{declared} bytes, as its container declares (the video is truncated)",
        )
    is_whole_mp4 = bool(boxes) and all(kind != b"moof" for kind, _ in boxes)
    return Listing(is_whole_mp4 or head.startswith(b"RIFF"))


def _declared_size(head: bytes) -> int | None:
    """Returns the bytes the file should have; None if its format does not say."""
    if head.startswith(b"RIFF"):
        size = int.from_bytes(head[4:8], "little")
        return None if size in _UNKNOWN_RIFF_SIZES else size + 8
    if head.startswith(_EBML_ID):
        return _matroska_size(head)
    if _ASF_PROPERTIES_ID in head:
        return _asf_size(head[head.index(_ASF_PROPERTIES_ID) :])
    return None


def _mp4_boxes(file: BinaryIO, num_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yields type and end of each top-level box (ISO/IEC 14496-12, section 4.2)."""
    start = 0
    while start < num_bytes:
        file.seek(start)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if size < 8:  # 0: the box reaches to the end; other values: padding after the last box
            size = num_bytes - start
        start += size
        yield header[4:8], start


def _count_gif_frames(path: Path) -> int:
    """Counts the images of a GIF by its blocks, up to the end marker (GIF89a, appendix A)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return _count_gif_blocks(path, content)


def _count_gif_blocks(path: Path, content: mmap.mmap) -> int:
    def byte(position: int) -> int:
        return content[position] if position < len(content) else 0

    def table_size(flags: int) -> int:
        return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0

    position, num_frames = 13 + table_size(byte(10)), 0
    while (block := content[position : position + 1]) in (b",", b"!"):
        if block == b",":
            position += 11 + table_size(byte(position + 9))
            num_frames += 1
        else:
            position += 2
        while size := byte(position):
            position += 1 + size
        position += 1
    if block != b";":
        found = f"byte 0x{block.hex()} at {position}" if block else "no end marker"
        raise DataError(path, found, "a GIF's blocks (the video is damaged or truncated)")
    return num_frames


def _ogg_size(path: Path, file: BinaryIO, num_bytes: int) -> int:
    """Returns the end of the last page (RFC 3533, section 6), which must be marked as the last."""
    file.seek(max(0, num_bytes - 2 * _LARGEST_OGG_PAGE))
    tail = file.read()
    start = tail.rfind(b"OggS")
    page = tail[start:].ljust(27, b"\0")
    segments = page[27 : 27 + page[26]]
    size = 27 + page[26] + sum(segments)
    if start < 0 or (size <= len(tail) - start and not page[5] & 4):
        raise DataError(path, "no last page", "one marked as the end (the video is truncated)")
    return num_bytes - len(tail) + start + size


def _asf_size(properties: bytes) -> int | None:
    """Returns the bytes of the file (ASF specification, section 3.2); None for live recordings."""
    is_broadcast = properties[88:89] and properties[88] & 1
    return None if is_broadcast else int.from_bytes(properties[40:48], "little")


def _matroska_size(head: bytes) -> int | None:
    """Returns the segment's end (RFC 8794, section 4; RFC 9559, section 4.5); None if unknown."""
    header_size, start = _ebml_size(head, len(_EBML_ID))
    segment = start + (header_size or 0)
    if head[segment : segment + 4] != _SEGMENT_ID:
        return None
    size, start = _ebml_size(head, segment + len(_SEGMENT_ID))
    return None if size is None else start + size


def _ebml_size(head: bytes, at: int) -> tuple[int | None, int]:
    """Reads a variable-length size (None: unknown) and the position after it."""
    length = 9 - head[at : at + 1].ljust(1, b"\0")[0].bit_length()
    value = int.from_bytes(head[at : at + length], "big") & ((1 << 7 * length) - 1)
    return None if value == (1 << 7 * length) - 1 else value, at + length
