"""Limits of frames and clips, checked before memory is taken."""

from pathlib import Path

from slt_fast.errors import DataError

MAX_PIXELS = 2**26  # twice a frame of 8K video
MAX_FRAMES = 2**20  # 11 hours at 25 frames per second


def check_pixels(path: Path, width: int, height: int) -> None:
    """Raises DataError if a frame has more than MAX_PIXELS pixels."""
    if width * height > MAX_PIXELS:
        raise DataError(path, f"{width}x{height} pixels", f"at most {MAX_PIXELS} pixels a frame")


def check_length(path: Path, total: int) -> None:
    """Raises DataError if a clip has more than MAX_FRAMES frames."""
    if total > MAX_FRAMES:
        raise DataError(path, f"{total} frames or more", f"at most {MAX_FRAMES} a clip")


def check_count(path: Path, total: int, needed: int) -> None:
    """Raises DataError if a video or folder has fewer frames than needed."""
    if total < needed:
        raise DataError(path, f"{total} frames", f"at least {needed}")
