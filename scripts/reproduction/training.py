"""Trains runs in processes of their own, some at a time."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from reproduction.runs import TRAIN, Run

_TAIL_LINES = 12
_PR_SET_PDEATHSIG = 1
_C_LIBRARY = ctypes.CDLL(None)


class _Training(NamedTuple):
    """A run whose process was started."""

    run: Run
    process: subprocess.Popen[bytes]
    started: float  # time.monotonic()


def threads_of_run(jobs: int) -> int:
    """Returns the threads of each of so many trainings at a time: the cores shared, at least one.

    OMP_NUM_THREADS in the environment wins.
    """
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    return int(chosen) if chosen.isdigit() else max(1, len(os.sched_getaffinity(0)) // jobs)


def train(runs: Sequence[Run], *, jobs: int, threads: int) -> list[Run]:
    """Trains the runs that are not finished; prints when each begins and ends.

    Ctrl-C and SIGTERM end the trainings, each with a checkpoint; a second one ends them at once.

    Returns:
        The runs that failed.
    """
    waiting = deque(run for run in runs if not run.is_finished())
    print(f"{len(runs)} runs, {len(runs) - len(waiting)} of them finished before", flush=True)
    running: list[_Training] = []
    failed = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_start(waiting.popleft(), threads))
            time.sleep(0.1)
            for each in [each for each in running if each.process.poll() is not None]:
                running.remove(each)
                failed += _ended(each)
    finally:
        _stop(running)
    return failed


def _start(run: Run, threads: int) -> _Training:
    goes_on = run.has_begun()
    run.record(threads)
    print(f"{run.name}: {'goes on' if goes_on else 'begins'}", flush=True)
    with open(run.log, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(TRAIN), *run.arguments(), *(["--resume"] if goes_on else [])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # Ctrl-C reaches it once, by way of this process
            preexec_fn=_end_with_parent,
        )
    return _Training(run, process, time.monotonic())


def _end_with_parent() -> None:
    """Lets the system send SIGTERM when the parent dies, be it by kill -9.

    It sends one for each thread of the parent, so that the training may end without a checkpoint.
    """
    _C_LIBRARY.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _ended(training: _Training) -> list[Run]:
    """Prints how a training ended; returns its run if it failed."""
    run, status = training.run, training.process.returncode
    if status == 0 and run.is_finished():
        print(f"{run.name}: done in {time.monotonic() - training.started:.0f} s", flush=True)
        return []
    lines = run.log.read_text(encoding="utf-8", errors="replace").splitlines()
    print(f"{run.name}: FAILED with status {status}; {run.log} ends:", flush=True)
    print(*lines[-_TAIL_LINES:], sep="\n", flush=True)
    return [run]


def _stop(running: Sequence[_Training]) -> None:
    for each in running:
        each.process.terminate()
    if running:
        print("stopping: each run writes a checkpoint if it has taken a step", flush=True)
    try:
        for each in running:
            each.process.wait()
    finally:
        for each in running:
            each.process.kill()
            each.process.wait()
