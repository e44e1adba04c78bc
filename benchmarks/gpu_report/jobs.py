"""Functions run in processes of their own, against a deadline.

An illegal access ends a process's use of the GPU, a compiler may hang, a peer may kill its process:
here each costs the job that did it and nothing else.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import torch


@dataclass(frozen=True)
class Job:
    """A function to be run.

    Args:
        section: Part of the report that its result belongs to.
        name: What it is called there.
        function: Of a module, so that it can be sent to a process; returns what JSON can hold.
        arguments: Its keyword arguments.
        seconds: About how long it takes; it is not begun when less time is left.
    """

    section: str
    name: str
    function: Callable[..., dict]
    arguments: dict[str, Any] = field(default_factory=dict)
    seconds: float = 5.0


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Args:
        job: The job.
        status: "done", "failed" or "skipped".
        result: What its function returned, if it is done.
        reason: Why it is not.
        seconds: How long it took.
    """

    job: Job
    status: str
    result: dict | None = None
    reason: str | None = None
    seconds: float = 0.0


class Worker:
    """A process that runs one job after the other."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other,))
        self.process.start()
        other.close()
        self.job: Job | None = None
        self.is_over = False  # true once the process ends or must not be used any more

    def begin(self, job: Job) -> None:
        """Sends a job."""
        self.job, self.start = job, time.monotonic()
        self.connection.send((job.function, job.arguments))

    def finish(self) -> Outcome:
        """Receives what became of it, when `connection` is ready."""
        try:
            status, value, self.is_over = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            self.is_over = True
            status, value = "failed", f"its process ended with status {self.process.exitcode}"
        result, reason = (value, None) if status == "done" else (None, value)
        return self._outcome(status, result, reason)

    def give_up(self, reason: str) -> Outcome:
        """Ends a process that is still busy."""
        self.close()
        return self._outcome("skipped", None, reason)

    def _outcome(self, status: str, result: dict | None, reason: str | None) -> Outcome:
        job, self.job = self.job, None
        return Outcome(job, status, result, reason, time.monotonic() - self.start)

    def close(self) -> None:
        """Ends the process."""
        self.is_over = True
        self.connection.close()  # an idle one ends by itself
        if self.job is not None:
            self.process.kill()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def run_jobs(
    jobs: Iterable[Job], *, num_workers: int, deadline: float, workers: list[Worker]
) -> Iterator[Outcome]:
    """Runs jobs in their order, as many at a time as there are workers.

    Args:
        jobs: What to run.
        num_workers: Processes.
        deadline: On the clock of time.monotonic; what runs then is ended, what waits is skipped.
        workers: Processes of an earlier call, which are used again; the caller closes them.
    """
    waiting = deque(jobs)
    while len(workers) > num_workers:
        workers.pop().close()
    while waiting or any(worker.job for worker in workers):
        workers[:] = [worker for worker in workers if not worker.is_over]
        yield from _hand_out(waiting, workers, num_workers, deadline)
        busy = {worker.connection: worker for worker in workers if worker.job}
        ready = wait(list(busy), timeout=max(0.0, deadline - time.monotonic()))
        if busy and not ready:
            for worker in busy.values():
                yield worker.give_up("it ran until no time was left")
        for connection in ready:
            yield busy[connection].finish()


def _hand_out(
    waiting: deque[Job], workers: list[Worker], num_workers: int, deadline: float
) -> Iterator[Outcome]:
    """Begins jobs until all workers are busy; those that no time is left for are skipped."""
    while waiting:
        left = deadline - time.monotonic()
        if waiting[0].seconds > left:
            job = waiting.popleft()
            reason = f"takes about {job.seconds:.0f} s, {max(left, 0):.0f} s were left"
            yield Outcome(job, "skipped", reason=reason)
            continue
        idle = next((worker for worker in workers if worker.job is None), None)
        if idle is None:
            if len(workers) == num_workers:
                return
            idle = Worker()
            workers.append(idle)
        idle.begin(waiting.popleft())


def _work(connection: Connection) -> None:
    """Runs what is received until the other side closes or the GPU is lost."""
    torch.backends.cudnn.allow_tf32 = False  # as matrix products are by default
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            message = "done", function(**arguments)
        except Exception as error:  # whatever it is, the report tells it
            message = "failed", _describe(error)
        is_lost = message[0] == "failed" and _gpu_is_lost()
        connection.send((*message, is_lost))
        if is_lost:
            return
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _describe(error: Exception) -> str:
    """Type, text and place of an error."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = str(error).strip()[:600]
    return f"{type(error).__name__}: {text} ({place.name}, line {place.lineno})"


def _gpu_is_lost() -> bool:
    """Whether an error has ended this process's use of the GPU: nothing works after it."""
    if not torch.cuda.is_available():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False
