"""Functions run in processes of their own, each against a deadline.

An illegal access ends a process's use of the GPU, a compiler may hang, a peer may kill its process:
here each costs only the job that did it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Job:
    """A function to run."""

    section: str  # part of the report that shows the result
    name: str
    function: Callable[..., dict]  # a module's, as it is sent to a process; returns JSON's types
    arguments: dict[str, Any] = field(default_factory=dict)
    seconds: float = 5.0  # expected duration; the job is skipped if less time is left
    limit: float = float("inf")  # seconds after which the job counts as hanging


class Outcome(NamedTuple):
    """What became of a job."""

    job: Job
    status: str  # "done", "failed" or "skipped"
    result: dict | None = None  # the function's, if the job is done
    reason: str | None = None  # why it is not done
    seconds: float = 0.0  # its duration


class Workers(contextlib.AbstractContextManager):
    """Processes that run jobs, one after the other. As a context manager it ends them."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []

    def __exit__(self, *_: object) -> None:
        self._keep(0)

    def run(self, jobs: Iterable[Job], num_workers: int, deadline: float) -> Iterator[Outcome]:
        """Runs jobs in their order, as many at a time as there are workers.

        At the deadline, on the clock of time.monotonic, running jobs end and others are skipped.
        """
        self._keep(num_workers)
        pool = ThreadPoolExecutor(num_workers)
        try:
            for future in as_completed([pool.submit(self._run, job, deadline) for job in jobs]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _keep(self, num_workers: int) -> None:
        while len(self._idle) > num_workers:
            self._idle.pop().close()

    def _run(self, job: Job, deadline: float) -> Outcome:
        start = time.monotonic()
        left = max(0.0, deadline - start)
        if job.seconds > left:
            reason = f"takes about {job.seconds:.0f} s, {left:.0f} s were left"
            return Outcome(job, "skipped", reason=reason)
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker()
        status, value, is_over = worker.run(job, deadline)
        if is_over:
            worker.close()
        else:
            self._idle.append(worker)
        result, reason = (value, None) if status == "done" else (None, value)
        return Outcome(job, status, result, reason, time.monotonic() - start)


class _Worker:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other,))
        self.process.start()
        other.close()

    def run(self, job: Job, deadline: float) -> tuple[str, Any, bool]:
        """Returns a job's status, its result or what went wrong, and if the process is over."""
        left = deadline - time.monotonic()
        try:
            self.connection.send((job.function, job.arguments))
            if self.connection.poll(max(0.0, min(left, job.limit))):
                return self.connection.recv()
        except (EOFError, OSError):  # the process is gone
            self.process.join()
            return "failed", f"its process ended with status {self.process.exitcode}", True
        if job.limit < left:
            return "failed", f"it ran for more than {job.limit:.0f} s", True
        return "skipped", "it ran until no time was left", True

    def close(self) -> None:
        """Ends the process, even in the middle of a job."""
        self.connection.close()
        self.process.kill()
        self.process.join()


def run_command(
    command: list[str], deadline: float, environment: dict[str, str] | None = None
) -> tuple[int, str]:
    """Returns the exit status of a command in the project's folder, and what it printed.

    Raises:
        TimeoutExpired: The deadline is reached; the command and all processes under it are ended.
    """
    variables = {**os.environ, **(environment or {})}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=variables, start_new_session=True, **pipes)
    try:
        output = process.communicate(timeout=max(0.0, deadline - time.monotonic()))[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, output


def _work(connection: Connection) -> None:
    """Runs what is received until the other side closes or the GPU is lost."""
    import torch  # not above: tests that need no torch start sooner without it

    torch.backends.cudnn.allow_tf32 = False  # as matrix products are by default
    gpu_is_lost = False
    while not gpu_is_lost:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            status, value = "done", function(**arguments)
        except Exception as error:  # the report shows it
            status, value = "failed", _describe(error)
        try:  # an error may have ended this process's use of the GPU: nothing works after it
            if torch.cuda.is_available():
                torch.cuda.synchronize()
                torch.cuda.empty_cache()
        except RuntimeError:
            gpu_is_lost = True
        connection.send((status, value, gpu_is_lost))


def _describe(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = str(error).strip()[:600]
    return f"{type(error).__name__}: {text} ({place.name}, line {place.lineno})"
