import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slt_fast.errors import DataError
from slt_fast.training import lock
from slt_fast.training.lock import LOCK, locked

HOLDING = """
import sys, time
from pathlib import Path
from slt_fast.training.lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""
ELSEWHERE = {"process": 7, "machine": "elsewhere", "started": "2026-01-01 10:00:00 +0000"}


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that trains into `run`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


def take(folder: Path) -> dict:
    with locked(folder):
        return json.loads((folder / LOCK).read_text())


def test_a_second_training_names_the_first(holder, tmp_path: Path) -> None:
    machine = socket.gethostname()
    message = f"run: found a training by process {holder.pid} on {machine}, started 20.*; expected"
    for folder in (tmp_path / "run", tmp_path / "link"):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to("run")
        with pytest.raises(DataError, match=message.replace("run", folder.name, 1)):
            take(folder)
    holder.kill()
    holder.wait()
    assert (tmp_path / "run" / LOCK).exists()  # left behind, as by any kill
    assert take(tmp_path / "run")["process"] == os.getpid()
    assert not (tmp_path / "run" / LOCK).exists()


def test_in_one_process_as_well(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(DataError, match=f"process {os.getpid()} on"):
        take(tmp_path)
    take(tmp_path)


def left_behind(folder: Path, content: str, minutes: float) -> None:
    (folder / LOCK).write_text(content)
    os.utime(folder / LOCK, (time.time() - 60 * minutes,) * 2)


@pytest.mark.parametrize("content", [json.dumps(ELSEWHERE), "[1]", "{", "\0"])
def test_another_machine_is_believed_while_it_renews_the_lock(tmp_path: Path, content) -> None:
    left_behind(tmp_path, content, minutes=5)
    with pytest.raises(DataError, match=f"; if that one has ended, delete {tmp_path / LOCK}$"):
        take(tmp_path)
    left_behind(tmp_path, content, minutes=15)
    assert take(tmp_path)["machine"] == socket.gethostname()


def test_a_disk_without_file_locks_goes_by_age(tmp_path: Path, monkeypatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with locked(tmp_path), pytest.raises(DataError, match=f"process {os.getpid()} on"):
        take(tmp_path)
    take(tmp_path)


def test_the_lock_is_renewed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(lock, "_RENEWAL_SECONDS", 0.01)
    with locked(tmp_path):
        os.utime(tmp_path / LOCK, (0, 0))
        for _ in range(500):
            if (tmp_path / LOCK).stat().st_mtime > 0:
                break
            time.sleep(0.01)
        assert time.time() - (tmp_path / LOCK).stat().st_mtime < 60


def test_an_error_leaves_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "new"):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    take(tmp_path / "old")
    assert (tmp_path / "old").exists()
