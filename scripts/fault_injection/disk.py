"""A small disk that may be filled."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slt_fast.errors import DataError, UserError

_LARGEST = 2**30
_SIZE = "128m"
_BLOCK = 2**20
_MOUNT = f'mount -t tmpfs -o size={_SIZE} tmpfs "$0" && exec "$@"'


def mount_small_disk(folder: Path) -> None:
    """Runs this program again with a small disk in memory on a folder, in a namespace of its own.

    Args:
        folder: An empty folder; removed if there is an error.

    Raises:
        UserError: This machine does not allow it.
    """
    option = "--small-disk"
    expected = f"expected {option} FOLDER on a file system of at most {_LARGEST >> 20} MiB"
    namespace = ["unshare", "-rm", "sh", "-c", _MOUNT, str(folder)]
    if shutil.which(namespace[0]) is None:
        folder.rmdir()
        raise UserError(f"{option}: found no command unshare, which would mount one; {expected}")
    tried = subprocess.run([*namespace, "true"], capture_output=True, text=True)
    if tried.returncode:
        folder.rmdir()
        raise UserError(f"{option}: found {tried.stderr.strip()}; {expected}")
    again = [sys.executable, *sys.orig_argv[1:], option, str(folder)]
    os.execvp(namespace[0], [*namespace, *again])


def check_small(folder: Path) -> None:
    """Raises DataError if a file system is so large that it is not there to be filled."""
    status = os.statvfs(folder)
    size = status.f_blocks * status.f_frsize
    if size > _LARGEST:
        expected = f"at most {_LARGEST >> 20} MiB, as it will be filled"
        raise DataError(folder, f"a file system of {size >> 20} MiB", expected)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leaves no room on a small disk during the block."""
    check_small(folder)
    filler = folder / "filler"
    try:
        with open(filler, "wb", buffering=0) as file:
            size = _BLOCK
            while size:
                try:
                    file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
        yield
    finally:
        filler.unlink(missing_ok=True)
