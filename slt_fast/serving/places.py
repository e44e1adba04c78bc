"""Lets one client in at a time; the others wait in the order in which they came."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Full(Exception):
    """Too many clients are waiting."""


class Places:
    """The queue in front of the model; for one event loop.

    Args:
        max_waiting: Clients that may wait.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._queue: deque[asyncio.Event] = deque()  # the first one is in

    def __len__(self) -> int:
        """Returns the number of clients that are in or wait."""
        return len(self._queue)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[AsyncIterator[int]]:
        """Takes a place, which is free again after the block, however that ends.

        Yields:
            How many are before this client, whenever that changes; ends when there are none.

        Raises:
            Full: Too many clients are waiting.
        """
        if len(self._queue) > self._max_waiting:
            raise Full
        moved = asyncio.Event()
        self._queue.append(moved)
        try:
            yield self._waiting(moved)
        finally:
            self._queue.remove(moved)
            for other in self._queue:
                other.set()

    async def _waiting(self, moved: asyncio.Event) -> AsyncIterator[int]:
        while before := self._queue.index(moved):
            moved.clear()
            yield before
            await moved.wait()


class Rate:
    """Counts what each address asked for in the last minute.

    Args:
        most: What it may ask for.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._asked: defaultdict[str, deque[float]] = defaultdict(deque)

    def allows(self, address: str) -> bool:
        """Counts one more; returns False if that is too much."""
        now = time.monotonic()
        for other in list(self._asked):
            asked = self._asked[other]
            while asked and asked[0] < now - 60:
                asked.popleft()
            if not asked:
                del self._asked[other]
        asked = self._asked[address]
        if len(asked) >= self._most:
            return False
        asked.append(now)
        return True
