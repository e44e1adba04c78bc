import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from slt_fast.workers import in_processes

ROOT = Path(__file__).resolve().parents[1]


def square(number: int) -> tuple[int, int, int]:
    if number == 0:
        raise OSError(28, "no space")
    return number**2, os.getpid(), torch.get_num_threads()


def die(number: int) -> int:
    os._exit(number)


def test_results_come_in_order_from_other_processes() -> None:
    here, there = (
        in_processes(square, [3, 1, 2, 0], num_workers=number, label="x") for number in (0, 1)
    )
    for results, elsewhere in ((here, False), (there, True)):
        squares, processes, threads = zip(*(next(results) for _ in range(3)), strict=True)
        assert squares == (9, 1, 4)
        assert elsewhere != (set(processes) == {os.getpid()})
        assert set(threads) == {1} or not elsewhere
        with pytest.raises(OSError, match="no space"):
            next(results)


def test_a_process_that_is_killed() -> None:
    with pytest.raises(OSError, match="1 worker processes: found one killed, as when memory runs"):
        list(in_processes(die, [3], num_workers=1, label="x"))


def test_results_wait_for_no_more_than_a_few_others() -> None:
    """Or large ones would fill the memory where they are taken slowly."""
    taken: list[int] = []

    class Counted(list):
        def __iter__(self):
            for item in super().__iter__():
                taken.append(item)
                yield item

    results = in_processes(square, Counted(range(1, 30)), num_workers=1, label="x")
    assert next(results)[0] == 1 and len(taken) < 10
    assert [square for square, _, _ in results] == [number**2 for number in range(2, 30)]


SCRIPT = """
import os, sys, time
from slt_fast.workers import in_processes

def work(_):
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    list(in_processes(work, [1], num_workers=1, label="x"))
"""


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    worker = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    for _ in range(200):
        if not is_alive(worker):
            return
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker process lives on")


def is_alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"  # ended, but nobody asked for its status
