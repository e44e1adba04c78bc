"""Reads the rows of a manifest, in csv, tsv or jsonl: which columns have which values."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from slt_fast.data.datasets.text_lines import read_text_lines
from slt_fast.errors import DataError, ErrorHandler, handle
from slt_fast.settings import is_writable

REQUIRED = ("id", "video", "text")
# Suffixes of the columns of times, and their units.
TIME_UNITS = {
    "": "frames",
    "_seconds": "seconds",
    "_milliseconds": "milliseconds",
    "_time": "HH:MM:SS",
}
TIMES = tuple(f"{name}{suffix}" for suffix in TIME_UNITS for name in ("start", "end"))
CROP = ("crop_x", "crop_y", "crop_width", "crop_height")  # the order of Crop
SUBTITLES = "subtitles"  # instead of text
COLUMNS = (*REQUIRED, SUBTITLES, "gloss", "signer", "split", *TIMES, "fps", *CROP)
_TABLE_FORMATS: dict[str, dict[str, Any]] = {
    ".csv": {"delimiter": ",", "strict": True},
    ".tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
}
MANIFEST_SUFFIXES = (*_TABLE_FORMATS, ".jsonl")

Row = dict[str, str]
ErrorAt = Callable[[str, str], DataError]  # found, expected -> the error of a line


def read_rows(path: Path, on_error: ErrorHandler | None) -> Iterator[tuple[int, Row]]:
    """Yields the line and the non-empty values of each row that can be parsed."""
    lines = read_text_lines(path)
    suffix = path.suffix.lower()
    parse: Callable[[ErrorAt, str], Row] = _parse_json
    if suffix in _TABLE_FORMATS:
        dialect = _TABLE_FORMATS[suffix]
        line, header = lines.pop(0)
        parse = partial(
            _parse_fields, dialect, _columns(dialect, error_at_line(path, line), header)
        )
    elif suffix != ".jsonl":
        raise DataError(path, f"suffix {path.suffix!r}", ".csv, .tsv or .jsonl")
    if not lines:
        raise DataError(path, "no rows", "one row a clip")
    for line, content in lines:
        try:
            row = parse(error_at_line(path, line), content)
        except DataError as error:
            handle(error, on_error)
        else:
            yield line, {name: value.strip() for name, value in row.items() if value.strip()}


def error_at_line(path: Path, line: int) -> ErrorAt:
    """Returns what makes the errors of a line of a file."""
    return partial(DataError, path, line=line)


def _columns(dialect: dict[str, Any], error_at: ErrorAt, header: str) -> list[str]:
    columns = _split_fields(dialect, error_at, header)
    named = {"text" if column == SUBTITLES else column for column in columns}
    if len(set(columns)) < len(columns) or not set(REQUIRED) <= named:
        hint = _format_hint(header, dialect["delimiter"])
        expected = f"{', '.join(REQUIRED)}, and each once{hint}"
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
        if separator != delimiter and set(REQUIRED) <= columns:
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
        if name not in COLUMNS:
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (isinstance(value, str) or is_number and abs(value) < 1e300):  # isfinite overflows
            raise error_at(f"{name} {value!r}", "a string or a finite number")
        if not is_writable(str(value)):
            raise error_at(f"{name} {value!r}", "text without NUL and lone surrogates")
    return {name: str(value) if name in COLUMNS else "any" for name, value in values.items()}


def _object(error_at: ErrorAt, members: list[tuple[str, Any]]) -> dict[str, Any]:
    names = Counter(name for name, _ in members)
    for name, count in names.items():
        if count > 1:
            raise error_at(f"{name!r} {count} times", "each key once")
    return dict(members)
