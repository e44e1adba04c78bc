"""Files that are whole or not there, whenever the program is killed."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slt_fast.errors import DataError

_SUFFIX = ".writing"
# Nothing of ours is written for so long: what is older was left behind by a process that is gone.
_LEFTOVER_SECONDS = 3600


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write a file under, which takes its place when all went well.

    It stands in the same folder, is hidden, and is this process's own: several may write the same
    file, and the last one stays.

    Args:
        path: The file to write; an older one is replaced.

    Yields:
        The name to write under; the file is deleted if the block raises.

    Raises:
        OSError: The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}{_SUFFIX}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Deletes what processes that were killed left behind in a folder more than an hour ago."""
    for path in folder.glob(f".*{_SUFFIX}"):
        try:
            if time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS:
                path.unlink()
        except FileNotFoundError:  # another process was faster
            continue


def sync(path: Path) -> None:
    """Waits until a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        DataError: A missing or broken file.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(path, f"{error}", "a JSON file") from error
    if not isinstance(values, dict):
        raise DataError(path, f"a JSON {type(values).__name__}", "a JSON object")
    return values


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes a JSON file that is never half-written."""
    with replacing(path) as temporary:
        temporary.write_text(to_json(values), encoding="utf-8")


def to_json(values: dict[str, Any]) -> str:
    """The text of a JSON file."""
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"
