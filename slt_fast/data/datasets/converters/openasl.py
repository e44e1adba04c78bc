"""Converts OpenASL (Shi et al., EMNLP 2022): sentences of whole videos, with the signer's box.

    data/openasl-v1.0.tsv     vid, yid, start, end (HH:MM:SS.mmm), raw-text, ..., split
    data/bbox-v1.0.json       vid -> [x0, y0, x1, y1] in shares of width and height
    raw/<yid>.mp4             as the official download script writes them

The script lets its user choose the folder of the videos: raw and videos are looked for. As in the
official crop_video.py, the box is made a square around its centre. That script pads with black what
reaches out of the picture; here the box ends at its edge. It leaves out rows without a box; here
they show the whole picture, and are listed.
"""

from pathlib import Path
from typing import Any

from slt_fast.data.datasets.converters.conversion import Conversion, first_of, split_of
from slt_fast.data.datasets.crop_columns import picture_size
from slt_fast.data.datasets.rows import CROP, ErrorAt, Row
from slt_fast.files import read_json

_TIMES = ("start", "end")
_COLUMNS = ("vid", "yid", *_TIMES, "raw-text", "split")


def convert_openasl(conversion: Conversion) -> None:
    """Adds the sentences of all splits; valid becomes dev."""
    videos = first_of(conversion.root, "raw", "videos")
    boxes: dict[str, Any] = {}
    with conversion.checking():
        boxes = read_json(first_of(conversion.root, "data/bbox-v1.0.json", "bbox-v1.0.json"))
    path = first_of(conversion.root, "data/openasl-v1.0.tsv", "openasl-v1.0.tsv")
    for error_at, row in conversion.table(path, "\t", _COLUMNS):
        with conversion.checking():
            video = videos / f"{row['yid']}.mp4"
            columns = {"id": row["vid"], "text": row["raw-text"]}
            columns["split"] = split_of(error_at, "split", row["split"])
            columns |= conversion.times(error_at, video, row, _TIMES, "_time")
            if row["vid"] not in boxes:
                conversion.remarks.append(error_at(f"no box of {row['vid']}", "one; none is cut"))
            elif video.exists():
                columns |= _crop(error_at, boxes[row["vid"]], video)
            conversion.add(error_at, video, columns)


def _crop(error_at: ErrorAt, box: Any, video: Path) -> Row:
    """Returns the columns of a box, as a square that ends at the edges of the picture."""
    is_list = isinstance(box, list) and len(box) == 4
    if not is_list or not all(isinstance(share, int | float) and abs(share) < 10 for share in box):
        raise error_at(f"the box {box}", "x0, y0, x1, y1 as shares of width and height")
    H, W = picture_size(video, video.stat().st_mtime_ns)
    x0, y0, x1, y1 = (int(share * size) for share, size in zip(box, (W, H, W, H), strict=True))
    side = max(x1 - x0, y1 - y0)
    left, top = max((x0 + x1 - side) // 2, 0), max((y0 + y1 - side) // 2, 0)
    right, bottom = min((x0 + x1 + side) // 2, W), min((y0 + y1 + side) // 2, H)
    if x1 <= x0 or y1 <= y0 or right <= left or bottom <= top:
        raise error_at(f"the box {box}", f"one of a pixel or more in {W}x{H} pixels")
    values = (left, top, right - left, bottom - top)
    return {name: str(value) for name, value in zip(CROP, values, strict=True)}
