"""Writes files and folders whole or not at all, even if the program is killed."""

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slt_fast.errors import DataError, UserError

_SUFFIX = ".writing"
# No write of ours takes this long: older leftovers belong to processes that are gone.
_LEFTOVER_SECONDS = 3600

Paths = Path | Sequence[Path] | None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Writes a file under a temporary name and renames it once the block has succeeded.

    Several processes may write the same file; the last one wins.

    Yields:
        The temporary name, hidden and in the same folder; deleted if the block raises.

    Raises:
        OSError: The file cannot be written.
    """
    temporary = _temporary(path)
    try:
        with naming(path), _naming(temporary, path):
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path, *, durable: bool = True) -> Iterator[Path]:
    """Fills a folder under a temporary name and renames it once the block has succeeded.

    Args:
        folder: The folder to write, with missing parents; an older one is replaced.
        durable: Wait until the files are on the disk. This takes milliseconds a file and guards
            against a power failure only.

    Yields:
        A new empty folder, hidden and beside `folder`; deleted if the block raises.

    Raises:
        OSError: The folder cannot be written.
    """
    temporary = _temporary(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with _naming(temporary, folder):
            temporary.mkdir(parents=True)
            yield temporary
            for path in (*temporary.iterdir(), temporary) if durable else ():
                sync(path)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Deletes what killed processes left behind in a folder more than an hour ago."""
    for path in folder.glob(f".*{_SUFFIX}"):
        try:
            if time.time() - path.lstat().st_mtime < _LEFTOVER_SECONDS:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        except FileNotFoundError:  # another process was faster
            continue


def check_writable(path: Path) -> None:
    """Raises DataError or OSError if a file cannot be written; leaves an older one alone."""
    if path.is_dir():
        raise DataError(path, "a folder", "a file to write to")
    if not path.parent.is_dir():
        expected = f"one to write {path.name} to{seen_from(path)}"
        raise DataError(path.parent, "no such folder", expected)
    temporary = _temporary(path)
    with _naming(temporary, path):
        temporary.touch()
        temporary.unlink()


def check_outputs(outputs: Mapping[str, Paths], inputs: Mapping[str, Paths]) -> None:
    """Raises an error if a file cannot be written, or if writing it would change another file.

    Args:
        outputs: Files to write, by the option that names them.
        inputs: Files that are read, and folders that nothing may be written to, by option.

    Raises:
        DataError, OSError: A file cannot be written.
        UserError: An output is an input, lies in one, or is another output. Links are followed.
    """
    written = list(_by_option(outputs))
    for number, (option, path) in enumerate(written):
        check_writable(path)
        for other, taken in [*written[:number], *_by_option(inputs)]:
            is_inside = taken.is_dir() and Path(os.path.realpath(taken)) in _parents(path)
            if is_inside or is_same_file(path, taken):
                found = f"found {path}, which belongs to {other}"
                raise UserError(f"{option}: {found}; expected another place to write to")


def is_same_file(first: Path, second: Path) -> bool:
    """Returns whether two paths lead to the same file, which need not exist yet."""
    if first.exists() and second.exists():
        return first.samefile(second)
    return os.path.realpath(first) == os.path.realpath(second)


def _by_option(paths: Mapping[str, Paths]) -> Iterator[tuple[str, Path]]:
    for option, places in paths.items():
        for place in [places] if isinstance(places, Path) else places or ():
            yield option, place


def _parents(path: Path) -> Sequence[Path]:
    """Returns the folders that a file lies in, as it is named and where its links lead to."""
    named = Path(os.path.realpath(path.parent), path.name)
    return [*named.parents, *Path(os.path.realpath(path)).parents]


def seen_from(path: str | Path) -> str:
    """Returns for errors where a relative path was looked for; nothing for an absolute one."""
    return "" if Path(path).is_absolute() else f" (looked for in {Path.cwd()})"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Names a file in an OSError that names none, as that of writing to a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def _naming(temporary: Path, path: Path) -> Iterator[None]:
    """Names the file itself in errors, never its temporary name."""
    try:
        yield
    except OSError as error:
        if str(temporary) not in str(error):
            raise
        reason = str(error.strerror or error).replace(str(temporary), str(path))
        named = str(error.filename or path).replace(str(temporary), str(path))
        raise type(error)(error.errno, reason, named) from error


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}{_SUFFIX}")


def sync(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_file(path: Path, expected: str) -> None:
    """Raises DataError if there is no file at a path; expected says what it would hold."""
    if path.is_dir():
        raise DataError(path, "a folder", expected)
    if not path.is_file():
        raise DataError(path, "no such file", f"{expected}{seen_from(path)}")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object; raises DataError if the file is missing or broken."""
    check_file(path, "a JSON file")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(path, f"{error}", "a JSON file") from error
    if not isinstance(values, dict):
        raise DataError(path, f"a JSON {type(values).__name__}", "a JSON object")
    return values


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes a JSON file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(to_json(values), encoding="utf-8")


def to_json(values: dict[str, Any]) -> str:
    """Formats values as the text of a JSON file."""
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"
