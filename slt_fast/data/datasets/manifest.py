"""Reads manifests: any data set as one table of clips, in csv, tsv or jsonl.

The columns are `id, video, text`, and optionally `gloss, signer, split, fps`, the clip's times and
its crop box (`crop_x, crop_y, crop_width, crop_height`); others are ignored and logged. Videos are
files or frame folders inside the manifest's folder, with relative paths. start (from 0) and end
(exclusive) are frame numbers. Times have their unit in the column's name: start_seconds,
start_milliseconds or start_time (HH:MM:SS), as times.py reads them; all rows use the same unit. csv
follows RFC 4180 with each row on one line, tsv has no quoting, jsonl has one object a line. If no
row names a split, all are "train". A row with `subtitles`, a .vtt or .srt file, instead of a text
is one clip a cue.
"""

import logging
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.datasets.crop_columns import read_crop
from slt_fast.data.datasets.rows import (
    COLUMNS,
    REQUIRED,
    SUBTITLES,
    TIME_UNITS,
    TIMES,
    ErrorAt,
    Row,
    error_at_line,
    read_rows,
)
from slt_fast.data.datasets.subtitles import SUBTITLE_SUFFIXES, Cue, read_cues
from slt_fast.data.datasets.times import frame_at, frame_number, number
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, ErrorHandler, handle

_INSIDE = "a path inside the manifest's folder (a symbolic link there may lead elsewhere)"

logger = logging.getLogger(__name__)


def read_manifest(
    path: str | Path,
    split: str,
    *,
    on_error: ErrorHandler | None = None,
    needs_frames: bool = True,
) -> list[AnnotatedClip]:
    """Reads the clips of a split, in file order.

    Args:
        path: The manifest; its suffix (.csv, .tsv, .jsonl) is the format.
        split: Name of the split.
        on_error: Called with the error of each bad row, which is then left out; None raises it.
        needs_frames: Whether videos must exist; otherwise times, fps and crop box do not matter.

    Raises:
        DataError: The file is not a manifest or has no such split; or, without `on_error`, a row is
            bad.
    """
    path = Path(path)
    rows = list(read_rows(path, on_error))
    ignored = {name: None for _, row in rows for name in row if name not in COLUMNS}
    if ignored:
        _log_once(f"{path}: ignored columns: {', '.join(ignored)}")
    _check_units(path, rows)
    splits = _named_splits(rows)
    if split not in (splits or ["train"]):
        raise DataError(path, f"no split {split!r}", f"one of {', '.join(splits or ['train'])}")
    clips: list[AnnotatedClip] = []
    first_lines: dict[str, int] = {}
    for line, row in rows:
        first_line = first_lines.setdefault(row.get("id", ""), line)
        if row.get("split", split) != split:
            continue
        try:
            _check_row(error_at_line(path, line), row, splits)
            if first_line != line:
                expected = f"an id not used in line {first_line}"
                raise DataError(path, f"id {row['id']!r} again", expected, line)
            if SUBTITLES in row:
                clips += _to_cue_clips(path, line, row, split, on_error, needs_frames=needs_frames)
            else:
                clips.append(_to_clip(path, line, row, split, needs_frames=needs_frames))
        except DataError as error:
            handle(error, on_error)
    return _without_repeats(clips, on_error)


def _without_repeats(
    clips: list[AnnotatedClip], on_error: ErrorHandler | None
) -> list[AnnotatedClip]:
    """Returns the clips with ids of their own; those of cues may be those of other rows."""
    found: dict[str, AnnotatedClip] = {}
    for clip in clips:
        if clip.id in found:
            expected = f"an id not used in {found[clip.id].origin}"
            handle(DataError(clip.origin, f"id {clip.id!r} again", expected), on_error)
        found.setdefault(clip.id, clip)
    return list(found.values())


def _check_units(path: Path, rows: list[tuple[int, Row]]) -> None:
    """Raises DataError if the manifest gives its times in several units."""
    used = [name for name in TIMES if any(name in row for _, row in rows)]
    units = {name.removeprefix("start").removeprefix("end") for name in used}
    if len(units) > 1:
        expected = f"times in one unit ({', '.join(TIME_UNITS.values())})"
        raise DataError(path, f"times in the columns {', '.join(used)}", expected)


@cache
def _log_once(message: str) -> None:
    logger.info("%s", message)


def manifest_splits(path: str | Path) -> list[str]:
    """Lists the splits of a manifest, in file order; rows that cannot be parsed are skipped.

    Raises:
        DataError: The file is not a manifest.
    """
    return _named_splits(list(read_rows(Path(path), lambda error: None))) or ["train"]


def _named_splits(rows: list[tuple[int, Row]]) -> list[str]:
    return list(dict.fromkeys(row["split"] for _, row in rows if "split" in row))


def _check_row(error_at: ErrorAt, row: Row, splits: list[str]) -> None:
    given = {**row, "text": ""} if SUBTITLES in row else row
    for name in REQUIRED:
        if name not in given:
            raise error_at(f"no {name}", f"a value for {name}")
    for name in ("text", "gloss", *TIMES):
        if SUBTITLES in row and name in row:
            raise error_at(f"{name} and {SUBTITLES}", "one of them")
    if splits and "split" not in row:
        raise error_at("no split", f"one of {', '.join(splits)}")


def _to_clip(path: Path, line: int, row: Row, split: str, *, needs_frames: bool) -> AnnotatedClip:
    error_at = error_at_line(path, line)
    video = _path_inside(error_at, path.parent, "video", row["video"])
    return AnnotatedClip(
        id=row["id"],
        source=_source(error_at, row, video) if needs_frames else VideoSource(video),
        text=" ".join(row["text"].split()),
        glosses=tuple(row["gloss"].split()) if "gloss" in row else None,
        signer=row.get("signer"),
        split=split,
        origin=f"{path}:{line}",
    )


def _to_cue_clips(
    path: Path,
    line: int,
    row: Row,
    split: str,
    on_error: ErrorHandler | None,
    *,
    needs_frames: bool,
) -> list[AnnotatedClip]:
    """Returns a clip for each cue of a row's subtitles, without those that `on_error` takes."""
    error_at = error_at_line(path, line)
    video = _path_inside(error_at, path.parent, "video", row["video"])
    subtitles = _path_inside(error_at, path.parent, SUBTITLES, row[SUBTITLES])
    if not subtitles.is_file() or subtitles.suffix.lower() not in SUBTITLE_SUFFIXES:
        expected = f"a file that ends in {' or '.join(SUBTITLE_SUFFIXES)}"
        raise error_at(f"{SUBTITLES} {row[SUBTITLES]!r}", expected)
    source = _source(error_at, row, video) if needs_frames else VideoSource(video)
    clips = []
    for cue in read_cues(subtitles):
        try:
            clip = AnnotatedClip(
                id=f"{row['id']}-{cue.number}",
                source=_part(subtitles, cue, source) if needs_frames else source,
                text=cue.text,
                glosses=None,
                signer=row.get("signer"),
                split=split,
                origin=f"{subtitles}:{cue.line}",
            )
            clips.append(clip)
        except DataError as error:
            handle(error, on_error)
    return clips


def _part(subtitles: Path, cue: Cue, video: VideoSource) -> VideoSource:
    """Returns the part of a video that a cue is shown with."""
    error_at = error_at_line(subtitles, cue.line)
    found = f"cue {cue.timing!r}"
    start = frame_at(error_at, found, "start", video, cue.start)
    end = frame_at(error_at, found, "end", video, cue.end)
    if end <= start:
        raise error_at(found, "a later end, by a frame or more")
    return replace(video, start=start, end=end)


def _source(error_at: ErrorAt, row: Row, path: Path) -> VideoSource:
    """Returns the part of a video that a row names; raises DataError if there is none."""
    if not path.exists():
        # ~ is not expanded; a folder may have that name.
        expected = _INSIDE if row["video"].startswith("~") else "a video file or a frame folder"
        raise error_at(f"video {row['video']!r}, which does not exist", expected)
    fps = number(error_at, row, "fps", "frames per second, above 0")
    if fps == 0:
        raise error_at(f"fps {row['fps']!r}", "frames per second, above 0")
    video = VideoSource(path, fps=fps)
    start, end = (frame_number(error_at, row, name, video) for name in ("start", "end"))
    crop = read_crop(error_at, row, path)
    try:
        return replace(video, start=start, end=end, crop=crop)
    except DataError as error:
        given = [name for name in TIMES if name in row]
        found = " and ".join(f"{name} {row[name]!r}" for name in given)
        raise error_at(found, f"{error.expected}, by a frame or more") from error


def _path_inside(error_at: ErrorAt, folder: Path, column: str, value: str) -> Path:
    """Returns a path that is relative to the manifest; raises DataError if it leads out."""
    # Only inside the folder, so that an untrusted manifest cannot read other files. Symbolic links
    # are not resolved: they are the user's own way to bring in other folders.
    if os.path.isabs(value) or os.path.normpath(value).split(os.sep)[0] == os.pardir:
        raise error_at(f"{column} {value!r}", _INSIDE)
    return folder / value
