"""One training a folder: a lock with process, machine and time.

The system drops a file lock when its process ends, however it ends. So a lock left behind on this
machine is recognised at once, in containers as well. Another machine may not see file locks; there
the lock's age decides, because a living process renews it.
"""

import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slt_fast.errors import DataError
from slt_fast.files import naming

LOCK = "training.lock"
_RENEWAL_SECONDS = 60.0
# Clocks of two machines differ, and a disk over the network may stall.
_STALE_SECONDS = 600.0
_NO_FILE_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other trainings out of a folder while the block runs.

    Args:
        folder: Folder of a run; made if it is missing, and removed again if the block leaves it
            empty.

    Raises:
        DataError: Another process trains into the folder.
        OSError: The folder cannot be written.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    ended = threading.Event()
    with _acquire(path) as descriptor:
        threading.Thread(target=_renew, args=(descriptor, ended), daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            path.unlink(missing_ok=True)
            if is_new:
                with suppress(OSError):  # not empty
                    folder.rmdir()


@contextmanager
def _acquire(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if (expected := _refusal(descriptor, path)) is not None:
            raise DataError(path.parent, _holder(path), expected)
        os.ftruncate(descriptor, 0)
        ours = {"process": os.getpid(), "machine": socket.gethostname()}
        started = time.strftime("%Y-%m-%d %H:%M:%S %z")
        with naming(path):
            os.pwrite(descriptor, json.dumps(ours | {"started": started}).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _refusal(descriptor: int, path: Path) -> str | None:
    """Returns what is expected instead of a held lock; None if it is ours."""
    expected, sees_locks = "no other training in this folder", True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return expected
    except OSError as error:
        if error.errno not in _NO_FILE_LOCKS:
            raise
        sees_locks = False
    status = os.fstat(descriptor)
    # Its holder may have ended, and removed the file, in between.
    if not path.exists() or not os.path.samestat(status, os.stat(path)):
        return expected
    if status.st_size == 0 or time.time() - status.st_mtime > _STALE_SECONDS:
        return None
    if sees_locks and _read(path).get("machine") == socket.gethostname():
        return None
    return f"{expected}; if that one has ended, delete {path}"


def _holder(path: Path) -> str:
    known = _read(path)
    names = ("process", "machine", "started")
    process, machine, started = (known.get(name, "unknown") for name in names)
    return f"a training by process {process} on {machine}, started {started}"


def _read(path: Path) -> dict[str, object]:
    with suppress(OSError, ValueError, RecursionError):
        known = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(known, dict):
            return known
    return {}


def _renew(descriptor: int, ended: threading.Event) -> None:
    while not ended.wait(_RENEWAL_SECONDS):
        with suppress(OSError):  # the training goes on; the next renewal may succeed
            os.utime(descriptor)
