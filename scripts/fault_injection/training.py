"""A training in a process of its own, through scripts/train.py, whose log is read as it grows."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread

from fault_injection.train_with_nan import BEGINS

_PATIENCE_SECONDS = 900.0
_CLOSING_SECONDS = 60.0  # torch's loader processes look every 5 s whether their parent lives
_TAIL_LINES = 40


class Unexpected(Exception):
    """A training did what docs/reliability.md does not promise."""


class Training:
    """A training that runs.

    Args:
        options: Options of scripts/train.py.
        nan_steps: Steps whose batches hold NaN.
        log: File that its output is appended to.

    Attributes:
        lines: What it has printed.
        begun: Seconds from the start at which each step began, by the step's number.
    """

    def __init__(self, options: Sequence[str], nan_steps: Sequence[int], log: Path) -> None:
        wrapper = Path(__file__).with_name("train_with_nan.py")
        steps = ",".join(map(str, nan_steps))
        self.lines: list[str] = []
        self.begun: dict[int, float] = {}
        self._log = log
        self._started = self._printed = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, str(wrapper), steps, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # its process group is that of a job
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def process(self) -> int:
        """Number of its main process, and of its process group."""
        return self._process.pid

    def seconds(self) -> float:
        """Returns the seconds since the start."""
        return time.monotonic() - self._started

    def step(self) -> int:
        """Returns the step that began last; -1 before the first one."""
        return max(self.begun, default=-1)

    def status(self) -> int | None:
        """Returns its exit status, as a shell has it; None while it runs."""
        status = self._process.poll()
        return 128 - status if status is not None and status < 0 else status

    def runs(self) -> bool:
        """Returns whether its main process has not ended."""
        return self.status() is None

    def wait_for_step(self, step: int) -> None:
        """Waits until a step has begun, or the training has ended."""
        self.wait(lambda: self.step() >= step, f"step {step}")

    def wait_for_seconds(self, seconds: float, latest: int | None = None) -> None:
        """Waits, but not past the beginning of a step or the end of the training."""
        end, last = time.monotonic() + seconds, math.inf if latest is None else latest
        self.wait(lambda: time.monotonic() >= end or self.step() >= last, "a few seconds")

    def wait_for_loaders(self, others: Sequence[int] = ()) -> list[int]:
        """Waits for loader processes, none of them among `others`; empty if training has ended."""
        found: list[int] = []

        def are_there() -> bool:
            found[:] = self._loaders()
            return bool(found) and not {*found} & {*others}

        self.wait(are_there, "loader processes", pause=0.1)  # as it looks at every process
        return found if self.runs() else []

    def end(self) -> int:
        """Waits for its end and, unless it was killed, its last line; returns the exit status."""
        self.wait(lambda: False, "end")
        status = self.status()
        assert status is not None
        if status != 128 + signal.SIGKILL:  # else its loader processes may go on for a moment
            self._reader.join(_CLOSING_SECONDS)
        return status

    def send(self, number: int, *, to_group: bool) -> None:
        """Sends a signal to the main process, or to all processes; nothing if it has ended."""
        send = os.killpg if to_group else os.kill
        if self.runs():
            send(self.process, number)

    def close(self) -> None:
        """Ends it at once, and waits until no process of it holds its output."""
        if self.runs():
            self.send(signal.SIGKILL, to_group=True)
            self._process.wait()
        self._reader.join(_CLOSING_SECONDS)
        if self._reader.is_alive():
            raise self.unexpected("found processes of it that go on after its end")

    def check_log(self) -> None:
        """Raises Unexpected if a traceback is in the log, be it of an ignored exception."""
        if any("Traceback" in line for line in self.lines):
            raise self.unexpected("found a traceback; expected none")

    def unexpected(self, message: str) -> Unexpected:
        """Returns an error with the last lines of the log."""
        tail = "".join(self.lines[-_TAIL_LINES:])
        return Unexpected(f"training {self.process}: {message}\n{self._log} ends:\n{tail}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        with open(self._log, "a", encoding="utf-8") as log:
            for line in self._process.stdout:
                self.lines.append(line)
                self._printed = time.monotonic()
                if line.startswith(BEGINS):
                    self.begun[int(line.removeprefix(BEGINS))] = self.seconds()
                log.write(f"{self.process} {line}")
                log.flush()

    def wait(self, happens: Callable[[], bool], what: str, pause: float = 0.01) -> None:
        """Waits until something happens, or the training has ended.

        Args:
            happens: Returns whether it has happened.
            what: Name for it.
            pause: Seconds between two looks.

        Raises:
            Unexpected: Neither happens, and for a long time nothing is printed.
        """
        begun = time.monotonic()
        while self.runs() and not happens():
            if time.monotonic() - max(begun, self._printed) > _PATIENCE_SECONDS:
                silent = f"{_PATIENCE_SECONDS:g} seconds without a line"
                raise self.unexpected(f"found no {what}, but {silent}")
            time.sleep(pause)

    def _loaders(self) -> list[int]:
        """Returns the processes that torch has spawned to load clips."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                if (
                    parent == self.process
                    and b"spawn_main" in (status.parent / "cmdline").read_bytes()
                ):
                    found.append(int(status.parent.name))
            except (OSError, IndexError):  # it has ended since
                continue
        return found
