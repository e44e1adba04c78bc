"""Detects truncated video files from their container, before anything is decoded.

MP4/MOV, AVI, GIF, Matroska/WebM and WMV/ASF declare where they end. Transport and program streams
(ts, mpg) do not: if they are truncated, they pass as shorter videos.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from slt_fast.data.video.mp4 import FIRST_BOXES, mp4_size, shown_frames
from slt_fast.errors import DataError

_UNKNOWN_RIFF_SIZES = (0, 0xFFFFFFFF)
_EBML_ID, _SEGMENT_ID = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ASF_PROPERTIES_ID = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def check_complete(path: Path) -> int | None:
    """Raises DataError if a video file is truncated, as far as its container reveals it.

    Args:
        path: The file.

    Returns:
        The number of frames, if the container lists them as MP4/MOV and GIF do; None otherwise.

    Raises:
        DataError: The file is empty, is text, or ends before its container does.
    """
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
        declared = _declared_size(file, head, num_bytes)
        if b"\0" not in head:  # FFmpeg would decode a .txt file as a video of its letters
            raise DataError(path, "text" if head else "an empty file", "a video file")
        if declared is not None and num_bytes < declared:
            raise DataError(
                path,
                f"{num_bytes} bytes",
                f"{declared} bytes, as its container declares (the video is truncated)",
            )
        if head.startswith(b"GIF8"):
            return _count_gif_frames(path)
        return shown_frames(file, num_bytes) if head[4:8] in FIRST_BOXES else None


def _declared_size(file: BinaryIO, head: bytes, num_bytes: int) -> int | None:
    """Returns the bytes the file should have; None if its format does not say."""
    if head.startswith(b"RIFF"):
        size = int.from_bytes(head[4:8], "little")
        return None if size in _UNKNOWN_RIFF_SIZES else size + 8
    if head.startswith(_EBML_ID):
        return _matroska_size(head)
    if _ASF_PROPERTIES_ID in head:
        return _asf_size(head[head.index(_ASF_PROPERTIES_ID) :])
    if head[4:8] in FIRST_BOXES:
        return mp4_size(file, num_bytes)
    return None


def _count_gif_frames(path: Path) -> int:
    """Counts the images of a GIF by its blocks, up to the end marker (GIF89a, appendix A)."""
    content = path.read_bytes()

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
