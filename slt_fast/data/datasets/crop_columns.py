"""Reads the crop box of a manifest's row, and checks that it is inside of the video."""

import re
from functools import lru_cache
from pathlib import Path

from slt_fast.data.crop import Crop, inside
from slt_fast.data.datasets.rows import CROP, ErrorAt, Row
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import UserError


def read_crop(error_at: ErrorAt, row: Row, path: Path) -> Crop | None:
    """Returns the crop box of a row; None if it has none.

    Args:
        error_at: Makes the errors of the row.
        row: The row of a manifest.
        path: Its video, whose first frame is read.

    Raises:
        DataError: The box lacks a value, has a bad one, or is not inside of the video.
    """
    given = [name for name in CROP if name in row]
    if not given:
        return None
    found = ", ".join(f"{name} {row[name]!r}" for name in given)
    if len(given) < len(CROP):
        raise error_at(f"{found} and no {_missing(row)}", f"all of {', '.join(CROP)}, or none")
    for name in CROP:
        if not re.fullmatch("[0-9]{1,6}", row[name]):
            raise error_at(f"{name} {row[name]!r}", "a whole number of pixels, from 0")
    try:
        crop = Crop(*(int(row[name]) for name in CROP))
    except UserError as error:
        raise error_at(found, "crop_width and crop_height from 1") from error
    height, width = picture_size(path, path.stat().st_mtime_ns)
    if not crop.fits(height, width):
        raise error_at(found, inside(height, width))
    return crop


def _missing(row: Row) -> str:
    return ", ".join(name for name in CROP if name not in row)


@lru_cache(maxsize=4096)  # of a video, other rows may be parts
def picture_size(path: Path, modified: int) -> tuple[int, int]:
    """Returns height and width of a video; `modified` is when it was changed."""
    return VideoSource(path).picture_size()
