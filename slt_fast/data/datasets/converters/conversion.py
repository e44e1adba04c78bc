"""What all converters share: they read tables, and collect the rows of a manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from slt_fast.data.datasets.rows import COLUMNS, ErrorAt, Row, error_at_line
from slt_fast.data.datasets.text_lines import read_text_lines
from slt_fast.data.datasets.times import seconds_of, video_timing
from slt_fast.errors import DataError, ErrorHandler, handle

# What data sets call the splits of a manifest.
SPLITS = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "test": "test"}


@dataclass
class Conversion:
    """Collects the rows of a manifest from the annotations of a data set.

    Args:
        root: Folder of the data set.
        folder: Folder that the manifest will be in; it holds `root`, and paths are relative to it.
        on_error: Called with the error of each bad row or missing file, which is then left out;
            None raises it.

    Raises:
        DataError: There is no such folder, or it is not inside that of the manifest.
    """

    root: Path
    folder: Path
    on_error: ErrorHandler | None = None
    rows: dict[str, Row] = field(default_factory=dict, init=False)  # by id
    missing: list[DataError] = field(default_factory=list, init=False)  # rows without a video
    remarks: list[DataError] = field(default_factory=list, init=False)  # what else was left out

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise DataError(self.root, "no such folder", "the folder of the data set")
        if _leads_out(self.root, self.folder):
            expected = f"one inside the manifest's, {self.folder} (see --folder)"
            raise DataError(self.root, "a folder outside of the manifest's", expected)

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Leaves out what raises a DataError inside, if `on_error` takes it."""
        try:
            yield
        except DataError as error:
            handle(error, self.on_error)

    def table(
        self, path: Path, separator: str, columns: tuple[str, ...], *, has_header: bool = True
    ) -> Iterator[tuple[ErrorAt, Row]]:
        """Yields the rows of a table without quoting, and what makes errors of their lines.

        Args:
            path: The table, in UTF-8.
            separator: Character between the fields.
            columns: Columns that must have a value in each row; others may be there.
            has_header: Whether the first line must name the columns; otherwise there are only
                these, in this order, and a line that names them is skipped.
        """
        with self.checking():
            lines = read_text_lines(path)
            first_line, first = lines[0]
            names = tuple(name.strip() for name in first.split(separator))
            if names == columns or has_header:
                lines = lines[1:]
            if has_header and not set(columns) <= set(names):
                expected = f"columns {', '.join(columns)}"
                raise DataError(path, f"columns {', '.join(names)}", expected, first_line)
            names = names if has_header else columns
            for line, content in lines:
                with self.checking():
                    error_at = error_at_line(path, line)
                    yield error_at, _fields(error_at, names, columns, content.split(separator))

    def add(self, error_at: ErrorAt, video: Path, row: Row) -> None:
        """Adds a row of the manifest, unless its video is missing.

        Args:
            error_at: Makes the errors of its line.
            video: Video file or frame folder, below the data set's folder.
            row: Values of the other columns; empty ones are left out.

        Raises:
            DataError: The id is not unique, or the path leads out of the data set's folder.
        """
        row = {name: " ".join(value.split()) for name, value in row.items() if value.strip()}
        if _leads_out(video, self.root):
            raise error_at(f"video {str(video)!r}", "a path inside the data set's folder")
        if row["id"] in self.rows:
            raise error_at(f"id {row['id']!r} again", "an id of its own")
        if video.exists():
            self.rows[row["id"]] = {**row, "video": self.relative(video)}
        else:
            self.missing.append(error_at("no video", str(video)))

    def relative(self, path: Path) -> str:
        """Returns a path as the manifest names it; raises DataError if a table cannot hold it."""
        place = os.path.relpath(path, self.folder)
        if place != " ".join(place.split()):
            raise DataError(path, f"the path {place!r}", "one without tabs and double spaces")
        return place

    def times(
        self, error_at: ErrorAt, video: Path, row: Row, names: tuple[str, str], suffix: str
    ) -> Row:
        """Returns the manifest's columns for the times of a clip.

        An end past the video's end is left out, because it is then the video's; a remark says so.

        Args:
            error_at: Makes the errors of the row.
            video: The video; if it is missing, times are not compared with it.
            row: Row of the data set.
            names: Its columns of start and end.
            suffix: Of the manifest's columns, which says the unit.

        Raises:
            DataError: The times are none, end before they start, or start past the video's end.
        """
        start, end = (seconds_of(error_at, row, name, suffix) for name in names)
        first, last = (f"{name} {row[name]!r}" for name in names)
        if end <= start:
            raise error_at(f"{first} and {last}", "a later end")
        times = {f"start{suffix}": row[names[0]], f"end{suffix}": row[names[1]]}
        if not video.exists():
            return times
        timing = video_timing(video, video.stat().st_mtime_ns)
        if timing.frame_from(start) >= len(timing.times):
            raise error_at(first, f"a time in the video, {timing}")
        if timing.is_past(end):
            self.remarks.append(error_at(last, f"the video's end at most ({timing}); cut there"))
            del times[f"end{suffix}"]
        return times

    def manifest(self) -> str:
        """Returns the manifest, as tab-separated text.

        Raises:
            DataError: There is no row.
        """
        if not self.rows:
            found = f"no row with a video, and {len(self.missing)} without"
            raise DataError(self.root, found, "at least one")
        rows = list(self.rows.values())
        columns = [name for name in COLUMNS if any(name in row for row in rows)]
        lines = [columns, *([row.get(name, "") for name in columns] for row in rows)]
        return "".join("\t".join(line) + "\n" for line in lines)


def split_of(error_at: ErrorAt, column: str, value: str) -> str:
    """Returns the manifest's name of a split: train, dev or test; raises DataError for others."""
    if value not in SPLITS:
        raise error_at(f"{column} {value!r}", f"one of {', '.join(SPLITS)}")
    return SPLITS[value]


def first_of(root: Path, *places: str) -> Path:
    """Returns the first of some places below a folder that exists, or else the first."""
    paths = [root / place for place in places]
    return next((path for path in paths if path.exists()), paths[0])


def _fields(
    error_at: ErrorAt, names: tuple[str, ...], columns: tuple[str, ...], values: list[str]
) -> Row:
    if len(values) != len(names):
        raise error_at(f"{len(values)} fields", f"{len(names)} ({', '.join(names)})")
    row = {name: value.strip() for name, value in zip(names, values, strict=True)}
    for name in columns:
        if not row[name]:
            raise error_at(f"no {name}", f"a value for {name}")
    return row


def _leads_out(path: Path, folder: Path) -> bool:
    # Lexically: symbolic links are the user's own way to bring in other folders.
    return os.path.relpath(path, folder).split(os.sep)[0] == os.pardir
