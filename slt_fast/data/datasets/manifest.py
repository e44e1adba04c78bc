"""Reads manifests: any data set as one table of clips, in csv, tsv or jsonl.

The columns are `id, video, text`, and optionally `gloss, signer, split, start, end, start_seconds,
end_seconds, fps`; others are ignored and logged. Videos are files or frame folders inside the
manifest's folder, with relative paths. start (from 0) and end (exclusive) are frame numbers. Times
in seconds count from the first frame; each is rounded to the nearest frame by the video's
timestamps, or by a folder's `fps`. csv follows RFC 4180 with each row on one line, tsv has no
quoting, jsonl has one object a line. If no row names a split, all are "train".
"""

import csv
import json
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.datasets.text_lines import read_text_lines
from slt_fast.data.frames.folder import frame_files
from slt_fast.data.resampling import nearest_frame
from slt_fast.data.video.decoding import Video, check_count
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, ErrorHandler, handle
from slt_fast.settings import is_writable

_REQUIRED = ("id", "video", "text")
_TIMES = {"start": "start_seconds", "end": "end_seconds"}
_COLUMNS = (*_REQUIRED, "gloss", "signer", "split", *_TIMES, *_TIMES.values(), "fps")
_TABLE_FORMATS: dict[str, dict[str, Any]] = {
    ".csv": {"delimiter": ",", "strict": True},
    ".tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
}
_INSIDE = "a path inside the manifest's folder (a symbolic link there may lead elsewhere)"
MANIFEST_SUFFIXES = (*_TABLE_FORMATS, ".jsonl")

logger = logging.getLogger(__name__)

Row = dict[str, str]
ErrorAt = Callable[[str, str], DataError]  # found, expected -> the error of a line


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
        needs_frames: Whether videos must exist; otherwise start, end and fps do not matter.

    Raises:
        DataError: The file is not a manifest or has no such split; or, without `on_error`, a row is
            bad.
    """
    path = Path(path)
    rows = list(_read_rows(path, on_error))
    ignored = {name: None for _, row in rows for name in row if name not in _COLUMNS}
    if ignored:
        _log_once(f"{path}: ignored columns: {', '.join(ignored)}")
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
            _check_row(_error_at(path, line), row, splits)
            if first_line != line:
                expected = f"an id not used in line {first_line}"
                raise DataError(path, f"id {row['id']!r} again", expected, line)
            clips.append(_to_clip(path, line, row, split, needs_frames=needs_frames))
        except DataError as error:
            handle(error, on_error)
    return clips


@cache
def _log_once(message: str) -> None:
    logger.info("%s", message)


def manifest_splits(path: str | Path) -> list[str]:
    """Lists the splits of a manifest, in file order; rows that cannot be parsed are skipped.

    Raises:
        DataError: The file is not a manifest.
    """
    return _named_splits(list(_read_rows(Path(path), lambda error: None))) or ["train"]


def _named_splits(rows: list[tuple[int, Row]]) -> list[str]:
    return list(dict.fromkeys(row["split"] for _, row in rows if "split" in row))


def _read_rows(path: Path, on_error: ErrorHandler | None) -> Iterator[tuple[int, Row]]:
    """Yields the line and the non-empty values of each row that can be parsed."""
    lines = read_text_lines(path)
    suffix = path.suffix.lower()
    parse: Callable[[ErrorAt, str], Row] = _parse_json
    if suffix in _TABLE_FORMATS:
        dialect = _TABLE_FORMATS[suffix]
        line, header = lines.pop(0)
        parse = partial(_parse_fields, dialect, _columns(dialect, _error_at(path, line), header))
    elif suffix != ".jsonl":
        raise DataError(path, f"suffix {path.suffix!r}", ".csv, .tsv or .jsonl")
    if not lines:
        raise DataError(path, "no rows", "one row a clip")
    for line, content in lines:
        try:
            row = parse(_error_at(path, line), content)
        except DataError as error:
            handle(error, on_error)
        else:
            yield line, {name: value.strip() for name, value in row.items() if value.strip()}


def _error_at(path: Path, line: int) -> ErrorAt:
    return partial(DataError, path, line=line)


def _columns(dialect: dict[str, Any], error_at: ErrorAt, header: str) -> list[str]:
    columns = _split_fields(dialect, error_at, header)
    if len(set(columns)) < len(columns) or not set(_REQUIRED) <= set(columns):
        hint = _format_hint(header, dialect["delimiter"])
        expected = f"{', '.join(_REQUIRED)}, and each once{hint}"
        raise error_at(f"columns {', '.join(columns)}", expected)
    return columns


def _format_hint(header: str, delimiter: str) -> str:
    """Returns what to do if another format would have the columns."""
    if header.startswith("{"):
        return " (name a file of JSON objects .jsonl)"
    for separator, advice in (
        ("\t", "name a file with tabs .tsv"),
        (",", "name a file with commas .csv"),
        (";", "write commas instead of semicolons"),
        ("|", "write commas instead of bars"),
    ):
        columns = {column.strip(' "') for column in header.split(separator)}
        if separator != delimiter and set(_REQUIRED) <= columns:
            return f" ({advice})"
    return ""


def _split_fields(dialect: dict[str, Any], error_at: ErrorAt, content: str) -> list[str]:
    try:
        fields = next(csv.reader([content], **dialect))
    except csv.Error as error:
        expected = "fields whose quotes close on their line"
        raise error_at(f"a broken row ({error})", expected) from error
    return [field.strip() for field in fields]


def _parse_fields(
    dialect: dict[str, Any], columns: list[str], error_at: ErrorAt, content: str
) -> Row:
    fields = _split_fields(dialect, error_at, content)
    if len(fields) != len(columns):
        raise error_at(f"{len(fields)} fields", f"{len(columns)} ({', '.join(columns)})")
    return dict(zip(columns, fields, strict=True))


def _parse_json(error_at: ErrorAt, content: str) -> Row:
    try:
        row = json.loads(content, object_pairs_hook=partial(_object, error_at))
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise error_at(f"broken JSON ({error})", "one JSON object a line") from error
    if not isinstance(row, dict):
        raise error_at(f"a JSON {type(row).__name__}", "one JSON object a line")
    values = {name: value for name, value in row.items() if value is not None}
    for name, value in values.items():
        if name not in _COLUMNS:
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (isinstance(value, str) or is_number and abs(value) < 1e300):  # isfinite overflows
            raise error_at(f"{name} {value!r}", "a string or a finite number")
        if not is_writable(str(value)):
            raise error_at(f"{name} {value!r}", "text without NUL and lone surrogates")
    return {name: str(value) if name in _COLUMNS else "any" for name, value in values.items()}


def _object(error_at: ErrorAt, members: list[tuple[str, Any]]) -> dict[str, Any]:
    names = Counter(name for name, _ in members)
    for name, count in names.items():
        if count > 1:
            raise error_at(f"{name!r} {count} times", "each key once")
    return dict(members)


def _check_row(error_at: ErrorAt, row: Row, splits: list[str]) -> None:
    for name in _REQUIRED:
        if name not in row:
            raise error_at(f"no {name}", f"a value for {name}")
    if splits and "split" not in row:
        raise error_at("no split", f"one of {', '.join(splits)}")


def _to_clip(path: Path, line: int, row: Row, split: str, *, needs_frames: bool) -> AnnotatedClip:
    error_at = _error_at(path, line)
    video = _video_path(error_at, path.parent, row["video"])
    return AnnotatedClip(
        id=row["id"],
        source=_source(error_at, row, video) if needs_frames else VideoSource(video),
        text=" ".join(row["text"].split()),
        glosses=tuple(row["gloss"].split()) if "gloss" in row else None,
        signer=row.get("signer"),
        split=split,
        origin=f"{path}:{line}",
    )


def _source(error_at: ErrorAt, row: Row, path: Path) -> VideoSource:
    """Returns the part of a video that a row names; raises DataError if there is none."""
    if not path.exists():
        # ~ is not expanded; a folder may have that name.
        expected = _INSIDE if row["video"].startswith("~") else "a video file or a frame folder"
        raise error_at(f"video {row['video']!r}, which does not exist", expected)
    fps = _number(error_at, row, "fps", "frames per second, above 0")
    video = VideoSource(path, fps=fps)
    start, end = (_frame_number(error_at, row, name, video) for name in _TIMES)
    try:
        return replace(video, start=start, end=end)
    except DataError as error:
        given = [name for name in (*_TIMES, *_TIMES.values()) if name in row]
        found = " and ".join(f"{name} {row[name]!r}" for name in given)
        raise error_at(found, f"{error.expected}, by a frame or more") from error


def _video_path(error_at: ErrorAt, folder: Path, video: str) -> Path:
    # Only inside the folder, so that an untrusted manifest cannot read other files. Symbolic links
    # are not resolved: they are the user's own way to bring in other folders.
    if os.path.isabs(video) or os.path.normpath(video).split(os.sep)[0] == os.pardir:
        raise error_at(f"video {video!r}", _INSIDE)
    return folder / video


def _frame_number(error_at: ErrorAt, row: Row, name: str, video: VideoSource) -> int | None:
    """Returns the frame at which a clip starts or ends, given as its number or in seconds."""
    timed = _TIMES[name]
    seconds = _number(error_at, row, timed, "seconds from 0, such as 12.48")
    if seconds is not None and name in row:
        raise error_at(f"{name} and {timed}", "one of them")
    if seconds is not None:
        frame, num_frames, length = _nearest_frame(error_at, timed, video, seconds)
        if frame > num_frames - (name == "start"):
            expected = f"a time in the video, whose {num_frames} frames last {length:.2f} seconds"
            raise error_at(f"{timed} {row[timed]!r}", expected)
        return frame
    if name in row and not re.fullmatch("[0-9]{1,9}", row[name]):
        expected = f"a frame number, from 0 (times go into the column {timed})"
        raise error_at(f"{name} {row[name]!r}", expected)
    return int(row[name]) if name in row else None


def _nearest_frame(
    error_at: ErrorAt, timed: str, video: VideoSource, seconds: float
) -> tuple[int, int, float]:
    """Returns the frame nearest to a time, and the video's length in frames and in seconds."""
    if not video.path.is_dir():
        times, rate = _frame_times(video.path, video.path.stat().st_mtime_ns)
        if rate is None and len(times) > 1:
            expected = f"a value for {timed.removesuffix('_seconds')}"
            raise error_at(f"{timed} of a video without a frame rate", expected)
        length = times[-1] - times[0] + (1 / rate if rate else 0)
        return nearest_frame(times, rate or 0.0, seconds), len(times), length
    if video.fps is None:
        raise error_at(f"{timed} of a folder without a frame rate", "a value for fps")
    num_frames = _num_images(video.path)
    return round(seconds * video.fps), num_frames, num_frames / video.fps


@lru_cache(maxsize=8)
def _num_images(folder: Path) -> int:
    return len(frame_files(folder))


# Reads the whole file, of which other rows, also of other splits, may be parts. The times of an
# hour at 25 frames a second take 0.7 MB.
@lru_cache(maxsize=1024)
def _frame_times(path: Path, modified: int) -> tuple[np.ndarray, float | None]:
    """Returns the times of a video's frames in seconds, and its average rate if known.

    Args:
        path: The video.
        modified: When it was changed, so that a changed one is read again.
    """
    with Video(path) as video:
        times = np.array(video.times())
        check_count(path, len(times), 1)
        return times, video.rate


def _number(error_at: ErrorAt, row: Row, name: str, expected: str) -> float | None:
    if name not in row:
        return None
    try:
        number = float(row[name])
    except ValueError:
        number = math.nan
    if not 0 <= number < 1e6 or (name == "fps" and number == 0):
        raise error_at(f"{name} {row[name]!r}", expected)
    return number
