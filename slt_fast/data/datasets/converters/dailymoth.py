"""Converts DailyMoth-70h (Rust et al., ACL 2024): clips with their captions.

    manifests/{train,val,test}.tsv      video_name, duration, caption
    unblurred_clips/videos/<first 5 characters>/<video_name>.mp4

Tables and videos are read as public code does. Less certain is where they are beside each other:
manifests may be in the folder of the clips; the clips may be blurred_clips, or videos alone; names
may end in .mp4, and the tables may begin with a header or not. Other names of splits are dev and
valid.
"""

from pathlib import Path

from slt_fast.data.datasets.converters.conversion import SPLITS, Conversion, first_of
from slt_fast.errors import DataError

_COLUMNS = ("video_name", "duration", "caption")
_CLIPS = ("unblurred_clips", "blurred_clips", ".")


def convert_dailymoth(conversion: Conversion) -> None:
    """Adds the clips of the splits that are there."""
    videos = first_of(conversion.root, *(f"{clips}/videos" for clips in _CLIPS))
    folder = first_of(conversion.root, "manifests", *(f"{clips}/manifests" for clips in _CLIPS))
    paths = [folder / f"{split}.tsv" for split in SPLITS]
    found = [path for path in paths if path.exists()]
    with conversion.checking():
        if not found:
            names = ", ".join(path.name for path in paths)
            raise DataError(folder, "no tables", f"some of {names}")
    for path in found:
        for error_at, row in conversion.table(path, "\t", _COLUMNS, has_header=False):
            with conversion.checking():
                name = Path(row["video_name"]).name.removesuffix(".mp4")
                columns = {"id": name, "text": row["caption"], "split": SPLITS[path.stem]}
                conversion.add(error_at, videos / name[:5] / f"{name}.mp4", columns)
