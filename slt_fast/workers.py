"""Work on many clips in several processes, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import torch
from tqdm import tqdm

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
    """Works on items, each in one of several processes; results come in the items' order.

    Args:
        work: What is done with an item; picklable, as are items and results.
        items: The items.
        num_workers: Processes; 0 works here.
        label: Name on the progress bar.
        ahead: Items a process that are begun before the first one's result is taken; results that
            are large want fewer.

    Raises:
        OSError: A process was killed, by the system when memory ran out.
    """
    with tqdm(total=len(items), desc=label, unit="clip", leave=False) as bar:
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
    with ProcessPoolExecutor(num_workers, context, initializer=_begin) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                # No more, or results that are large would fill the memory before they are taken.
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


def _begin() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops them
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Else a process whose parent was killed would wait for work for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)
