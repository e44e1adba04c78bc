"""Reads the numbered lines of a text file, strictly decoded."""

import re
from pathlib import Path

from slt_fast.errors import DataError
from slt_fast.files import check_file


def read_text_lines(path: Path) -> list[tuple[int, str]]:
    """Reads the lines of a UTF-8 file, numbered from 1; skips a byte order mark and empty lines.

    Raises:
        DataError: The file is missing, empty, not UTF-8 or has NUL bytes.
    """
    lines = read_lines(path, "an annotation file")
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line]
    if not numbered:
        raise DataError(path, "an empty file", "a header or a first row")
    return numbered


def read_lines(path: Path, kind: str = "a text file") -> list[str]:
    """Reads all lines of a UTF-8 file, without a byte order mark; the last one need not end.

    Args:
        path: The file.
        kind: What it is, for errors.

    Raises:
        DataError: The file is missing, not UTF-8 or has NUL bytes.
    """
    check_file(path, kind)
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(path, f"byte 0x{content[error.start]:02x}", "UTF-8 text", line) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(path, "a NUL byte", "UTF-8 text", line)
    # Not str.splitlines, which also splits at characters of texts, such as U+2028.
    lines = re.split(r"\r\n|\r|\n", text)
    return lines[:-1] if not lines[-1] else lines
