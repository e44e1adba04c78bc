"""Reads manifests: any data set as one table of clips, in csv, tsv or jsonl.

The columns are `id, video, text`, and optionally `gloss, signer, split, start, end, start_seconds,
end_seconds, fps`; others are ignored. Videos are files or frame folders inside the manifest's
folder, with relative paths. start (from 0) and end (exclusive) are frame numbers; times in seconds
are rounded to the nearest frame by `fps`, or by the rate that the video declares. csv follows RFC 4180 with each row on one
line, tsv has no quoting, jsonl has one object a line. If no row names a split, all are "train".
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.datasets.text_lines import read_text_lines
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, ErrorHandler, handle

_REQUIRED = ("id", "video", "text")
_TIMES = {"start": "start_seconds", "end": "end_seconds"}
_COLUMNS = (*_REQUIRED, "gloss", "signer", "split", *_TIMES, *_TIMES.values(), "fps")
_TABLE_FORMATS: dict[str, dict[str, Any]] = {
    ".csv": {"delimiter": ",", "strict": True},
    ".tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
}
_MAX_NUMBER = 1e6  # seconds, or frames per second
MANIFEST_SUFFIXES = (*_TABLE_FORMATS, ".jsonl")
# NUL ends a path early; lone surrogates, which JSON can spell, cannot be written to any file.
_UNUSABLE = re.compile("[\0\ud800-\udfff]")

Row = dict[str, str]


def read_manifest(
    path: str | Path, split: str, *, on_error: ErrorHandler | None = None
) -> list[AnnotatedClip]:
    """Reads the clips of a split.

    Args:
        path: The manifest; its suffix (.csv, .tsv, .jsonl) is the format.
        split: Name of the split.
        on_error: Called with the error of each bad row, which is then left out; None raises it.

    Returns:
        The clips, in file order.

    Raises:
        DataError: The file is not a manifest or has no such split; or, without `on_error`, a row is
            bad.
    """
    path = Path(path)
    rows = list(_read_rows(path, on_error))
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
            _check_row(path, line, row, splits, first_line)
            clips.append(_to_clip(path, line, row, split))
        except DataError as error:
            handle(error, on_error)
    return clips


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
    if suffix == ".jsonl":
        parse = partial(_parse_json, path)
    elif suffix in _TABLE_FORMATS:
        parse = partial(_parse_fields, path, _read_header(path, *lines.pop(0)))
    else:
        raise DataError(path, f"suffix {path.suffix!r}", ".csv, .tsv or .jsonl")
    if not lines:
        raise DataError(path, "no rows", "one row a clip")
    for line, content in lines:
        try:
            row = parse(line, content)
        except DataError as error:
            handle(error, on_error)
        else:
            yield line, {name: value.strip() for name, value in row.items() if value.strip()}


def _read_header(path: Path, line: int, content: str) -> list[str]:
    columns = _split_fields(path, line, content)
    if len(set(columns)) < len(columns) or not set(_REQUIRED) <= set(columns):
        expected = f"{', '.join(_REQUIRED)}, and each once{_format_hint(path, content)}"
        raise DataError(path, f"columns {', '.join(columns)}", expected, line)
    return columns


def _format_hint(path: Path, content: str) -> str:
    """Returns what the file seems to be, if another format would have the columns."""
    if content.startswith("{"):
        return " (the rows are JSON objects: call the file .jsonl)"
    for name, separator in (("tabs", "\t"), ("commas", ","), ("semicolons", ";"), ("bars", "|")):
        columns = [column.strip(' "') for column in content.split(separator)]
        suffix = {"\t": ".tsv", ",": ".csv"}.get(separator)
        if set(_REQUIRED) <= set(columns) and suffix != path.suffix.lower():
            advice = f"call the file {suffix}" if suffix else "write commas, or tabs in a .tsv"
            return f" (the columns are separated by {name}: {advice})"
    return ""


def _split_fields(path: Path, line: int, content: str) -> list[str]:
    try:
        fields = next(csv.reader([content], **_TABLE_FORMATS[path.suffix.lower()]))
    except csv.Error as error:
        raise DataError(
            path, f"a broken row ({error})", "fields whose quotes close on their line", line
        ) from error
    return [field.strip() for field in fields]


def _parse_fields(path: Path, columns: list[str], line: int, content: str) -> Row:
    fields = _split_fields(path, line, content)
    if len(fields) != len(columns):
        raise DataError(
            path, f"{len(fields)} fields", f"{len(columns)} ({', '.join(columns)})", line
        )
    return dict(zip(columns, fields, strict=True))


def _parse_json(path: Path, line: int, content: str) -> Row:
    try:
        row = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"broken JSON ({error})", "one JSON object a line", line) from error
    if not isinstance(row, dict):
        raise DataError(path, f"a JSON {type(row).__name__}", "one JSON object a line", line)
    values = {name: row[name] for name in _COLUMNS if row.get(name) is not None}
    for name, value in values.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (isinstance(value, str) or is_number and math.isfinite(value)):
            raise DataError(path, f"{name} {value!r}", "a string or a finite number", line)
        if _UNUSABLE.search(str(value)):
            raise DataError(path, f"{name} {value!r}", "text without NUL and lone surrogates", line)
    return {name: str(value) for name, value in values.items()}


def _check_row(path: Path, line: int, row: Row, splits: list[str], first_line: int) -> None:
    for name in _REQUIRED:
        if name not in row:
            raise DataError(path, f"no {name}", f"a value for {name}", line)
    if splits and "split" not in row:
        raise DataError(path, "no split", f"one of {', '.join(splits)}", line)
    if first_line != line:
        expected = f"an id not used in line {first_line}"
        raise DataError(path, f"id {row['id']!r} again", expected, line)


def _to_clip(path: Path, line: int, row: Row, split: str) -> AnnotatedClip:
    video = VideoSource(_video_path(path, line, row["video"]), fps=_frame_rate(path, line, row))
    start, end = (_frame_number(path, line, row, name, video) for name in _TIMES)
    try:
        source = replace(video, start=start, end=end)
    except DataError as error:
        raise DataError(path, error.found, error.expected, line) from error
    return AnnotatedClip(
        id=row["id"],
        source=source,
        text=" ".join(row["text"].split()),
        glosses=tuple(row["gloss"].split()) if "gloss" in row else None,
        signer=row.get("signer"),
        split=split,
        origin=f"{path}:{line}",
    )


def _video_path(path: Path, line: int, video: str) -> Path:
    # Only inside the folder, so that an untrusted manifest cannot read other files. Symbolic links
    # are not resolved: they are the user's own way to bring in other folders.
    if os.path.isabs(video) or os.path.normpath(video).split(os.sep)[0] == os.pardir:
        raise DataError(
            path,
            f"video {video!r}",
            "a path inside the manifest's folder (a symbolic link there may lead elsewhere)",
            line,
        )
    resolved = path.parent / video
    if not resolved.exists():
        raise DataError(
            path, f"video {video!r}, which does not exist", "a video file or a frame folder", line
        )
    return resolved


def _frame_number(path: Path, line: int, row: Row, name: str, video: VideoSource) -> int | None:
    """Returns the frame at which a clip starts or ends, given as its number or in seconds."""
    if name in row and _TIMES[name] in row:
        raise DataError(path, f"{name} and {_TIMES[name]}", "one of them", line)
    if _TIMES[name] in row:
        seconds, rate = _number(path, line, row, _TIMES[name]), _declared_rate(video)
        if rate is None:
            raise DataError(path, f"{_TIMES[name]} without a frame rate", "a value for fps", line)
        return round(seconds * rate)
    if name in row and not re.fullmatch("[0-9]{1,9}", row[name]):
        expected = f"a frame number, from 0 (for a time, name the column {_TIMES[name]})"
        raise DataError(path, f"{name} {row[name]!r}", expected, line)
    return int(row[name]) if name in row else None


@lru_cache
def _declared_rate(video: VideoSource) -> float | None:
    return video.frame_rate()  # opens the file, of which other rows may be parts


def _frame_rate(path: Path, line: int, row: Row) -> float | None:
    if "fps" not in row:
        return None
    fps = _number(path, line, row, "fps")
    if fps == 0:
        raise DataError(path, f"fps {row['fps']!r}", "frames per second", line)
    return fps


def _number(path: Path, line: int, row: Row, name: str) -> float:
    try:
        number = float(row[name])
    except ValueError:
        number = math.nan
    if not 0 <= number < _MAX_NUMBER:
        unit = "frames per second" if name == "fps" else "seconds from 0, such as 12.48"
        raise DataError(path, f"{name} {row[name]!r}", unit, line)
    return number
