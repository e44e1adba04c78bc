import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch.utils.data._utils import signal_handling

from slt_fast.data.loader_processes import InSharedMemory, checked, naming_killed_loaders
from slt_fast.errors import UserError

PREPARE = "mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "
LOAD = """
import torch
from torch.utils.data import DataLoader
from slt_fast.data.loader_processes import InSharedMemory, checked

def make(items):
    return torch.ones(len(items), 1 << 20)

def tensors(made):
    return [made]

if __name__ == "__main__":
    loader = DataLoader(range(8), 2, num_workers=1, collate_fn=InSharedMemory(make, tensors),
                        multiprocessing_context="spawn")
    for _ in checked(loader):
        pass
"""

# Ends by kill -9 as soon as its loader processes have started, which still import their modules.
ORPHANS = """
import multiprocessing, os, signal, threading, time
from slt_fast.data.batching import BatchMaker, Vocabularies, batches
from slt_fast.data.input import InputConfig
from slt_fast.data.loading import ClipDataset
from slt_fast.data.synthetic import read_synthetic

def end():
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    clips, config = read_synthetic("dev", num_clips=2), InputConfig(image_size=32)
    maker = BatchMaker(Vocabularies.build(clips), config)
    threading.Thread(target=end).start()
    for _ in batches(ClipDataset(clips, config=config), maker, [[0], [1]], num_workers=2):
        pass
"""


def can_mount() -> bool:
    command = ["unshare", "-rm", "sh", "-c", f"{PREPARE}true"]
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run(command, stderr=subprocess.DEVNULL).returncode
    )


@pytest.mark.skipif(not can_mount(), reason="needs user namespaces to mount a small /dev/shm")
def test_a_full_shared_memory_ends_with_its_cure(tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text(LOAD)
    command = ["unshare", "-rm", "sh", "-c", f"{PREPARE}{sys.executable} {tmp_path / 'load.py'}"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert finished.returncode == 1
    last = finished.stderr.strip().splitlines()[-1]
    assert "UserError: loader process: found no shared memory (" in last
    assert "expected a larger /dev/shm (Docker: --shm-size 8g) or --num-workers 0" in last


def test_loader_processes_end_if_their_parent_was_killed_while_they_started(tmp_path: Path) -> None:
    """torch's watch on the parent starts later than that, and takes another process for it."""
    (tmp_path / "load.py").write_text(ORPHANS)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(
        [sys.executable, tmp_path / "load.py"],
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        process.communicate(timeout=60)  # to the end of the last process that could write
        assert process.returncode == -signal.SIGKILL
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_what_fits_is_shared_and_the_same() -> None:
    made = [torch.arange(6).reshape(2, 3).T, torch.ones(0, 3)]
    shared = InSharedMemory(list, list)(made)
    assert shared[0].is_shared() and torch.equal(shared[0], torch.arange(6).reshape(2, 3).T)


def test_an_error_in_place_of_a_batch_is_raised(monkeypatch) -> None:
    def full(_: torch.Tensor) -> None:
        raise RuntimeError("unable to allocate shared memory\nsecond line")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    error = InSharedMemory(list, list)([torch.ones(1)])
    message = r"^loader process: found no shared memory \(unable to allocate shared memory\); expec"
    with pytest.raises(UserError, match=message):
        list(checked([error]))


class Killed(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return index


def test_a_killed_loader_process_is_named() -> None:
    loader = torch.utils.data.DataLoader(Killed(), num_workers=1)
    message = "found one killed, as when .*; expected fewer --num-workers"
    with pytest.raises(OSError, match=message):
        list(checked(loader))


def test_torch_raises_nothing_while_no_batch_is_asked_for(monkeypatch) -> None:
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        batches = checked(torch.utils.data.DataLoader(range(2), num_workers=1))
        next(batches)
        assert signal_handling._SIGCHLD_handler_set
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("lost", [ConnectionResetError(104, "reset"), EOFError()])
def test_a_connection_to_a_loader_process_that_is_lost(lost: Exception) -> None:
    """It is, for a moment before torch sees that the process has ended."""

    def loaded():
        yield "batch"
        raise lost

    batches = checked(loaded())
    assert next(batches) == "batch"
    with pytest.raises(OSError, match="found one killed, as when .*; expected fewer"):
        next(batches)


def test_other_errors_stay_as_they_are() -> None:
    for message in ("ours", "Caught RuntimeError in DataLoader worker process 0."):
        with pytest.raises(RuntimeError, match=message), naming_killed_loaders():
            raise RuntimeError(message)
