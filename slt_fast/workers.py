"""Works on many clips in several processes, with a progress bar."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

import torch

from slt_fast.progress_bar import ProgressBar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    num_workers: int,
    label: str,
    ahead: int = 4,
) -> Iterator[Result]:
    """Works on items in several processes; yields the results in the order of the items.

    Args:
        work: Function of an item; picklable, as are items and results.
        items: The items.
        num_workers: Number of worker processes; 0 works in this one.
        label: Name on the progress bar.
        ahead: Items a process that start before the first result is taken; fewer for large results.

    Raises:
        OSError: A process was killed, for example by the system because memory ran out.
    """
    with ProgressBar(total=len(items), desc=label, unit="clip") as bar:
        for result in _results(work, items, num_workers, ahead):
            bar.update()
            yield result


def _results(
    work: Callable[[Item], Result], items: Sequence[Item], num_workers: int, ahead: int
) -> Iterator[Result]:
    if num_workers == 0:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")  # fork deadlocks with OpenCV's threads
    with ProcessPoolExecutor(num_workers, context, initializer=begin_worker) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                with interrupts_blocked():  # the first ones start the processes
                    waiting.append(pool.submit(work, item))
                # Not more, because large results would fill the memory before they are taken.
                if len(waiting) > ahead * num_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            message = f"{num_workers} worker processes: found one killed, as when memory runs out"
            raise OSError(f"{message}; expected fewer workers or shorter clips") from error
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Hides Ctrl-C from processes that start in the block, which their parent stops.

    They would print tracebacks from their imports. This process sees it after the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker(_: int = 0) -> None:
    """Prepares a worker process: one thread, and it ends when its parent does.

    Otherwise it would wait for work forever; so would torch's loader processes, if their parent was
    killed while they started.

    Args:
        _: Number of the worker, which torch gives.
    """
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
