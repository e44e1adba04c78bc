"""Whether a video file is whole, told from its container before anything is decoded.

A count of decoded frames cannot tell: a cut GIF declares fewer frames along with the cut, and a
whole MP4 that was trimmed by an edit list decodes to fewer frames than it declares.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from slt_fast.data.errors import DataError

_MP4_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_UNKNOWN_RIFF_SIZES = (0, 0xFFFFFFFF)
_EBML_ID, _SEGMENT_ID = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def check_complete(path: Path) -> None:
    """Check that a video file is not cut short: MP4/MOV, AVI, GIF, Matroska/WebM; others pass.

    Args:
        path: The file.

    Raises:
        DataError: If the file is empty, is text, or ends before its container does.
    """
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
        declared = _declared_size(file, head, num_bytes)
        file.seek(max(0, num_bytes - 64))
        tail = file.read()
    if b"\0" not in head:  # FFmpeg would decode a .txt file as a video of its letters
        raise DataError(path, "text" if head else "an empty file", "a video file")
    if declared is not None and num_bytes < declared:
        raise DataError(
            path,
            f"{num_bytes} bytes",
            f"{declared} bytes, as its container declares (the video is truncated)",
        )
    if head.startswith(b"GIF8") and not tail.rstrip(b"\0").endswith(b"\x3b"):
        raise DataError(
            path, "no end marker", "a GIF that ends in byte 0x3b (the video is truncated)"
        )


def _declared_size(file: BinaryIO, head: bytes, num_bytes: int) -> int | None:
    """Bytes the file should have; None where its format does not say."""
    if head.startswith(b"RIFF"):
        size = int.from_bytes(head[4:8], "little")
        return None if size in _UNKNOWN_RIFF_SIZES else size + 8
    if head.startswith(_EBML_ID):
        return _matroska_size(head)
    if head[4:8] in _MP4_FIRST_BOXES:
        return _mp4_size(file, num_bytes)
    return None


def _mp4_size(file: BinaryIO, num_bytes: int) -> int:
    """End of the last top-level box (ISO/IEC 14496-12, section 4.2)."""
    end = 0
    while end < num_bytes:
        file.seek(end)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if (
            size < 8
        ):  # 0: the box reaches to the end of the file; other values: padding after the last box
            return num_bytes
        end += size
    return end


def _matroska_size(head: bytes) -> int | None:
    """End of the segment (RFC 8794, section 4; RFC 9559, section 4.5); None for live recordings."""
    header_size, start = _ebml_size(head, len(_EBML_ID))
    segment = start + (header_size or 0)
    if head[segment : segment + 4] != _SEGMENT_ID:
        return None
    size, start = _ebml_size(head, segment + len(_SEGMENT_ID))
    return None if size is None else start + size


def _ebml_size(head: bytes, at: int) -> tuple[int | None, int]:
    """A variable-length size (None: unknown) and the position after it."""
    length = 9 - head[at : at + 1].ljust(1, b"\0")[0].bit_length()
    value = int.from_bytes(head[at : at + length], "big") & ((1 << 7 * length) - 1)
    return None if value == (1 << 7 * length) - 1 else value, at + length
