"""What goes wrong with loader processes: full shared memory, and processes that are killed."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from slt_fast.errors import UserError
from slt_fast.workers import interrupts_blocked

_CURE = "a larger /dev/shm (Docker: --shm-size 8g) or --num-workers 0"


@dataclass(frozen=True)
class InSharedMemory:
    """Makes a batch in a loader process, and puts it where the reader takes it.

    torch would do so in a thread, whose errors nobody sees: the reader would wait forever.

    Args:
        make: Makes the batch.
        tensors: Returns the tensors of a batch.
    """

    make: Callable[[Any], Any]
    tensors: Callable[[Any], Iterable[torch.Tensor]]

    def __call__(self, readings: Any) -> Any:
        """Returns the batch, or a UserError if memory or shared memory is full."""
        try:
            made = self.make(readings)
        except UserError as error:
            return error
        try:
            for tensor in self.tensors(made):
                if tensor.numel():
                    tensor.share_memory_()
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            return UserError(f"loader process: found no shared memory ({reason}); expected {_CURE}")
        return made


def checked(loaded: Iterable[Any]) -> Iterator[Any]:
    """Yields batches; raises the error that a loader process returned instead of one.

    Raises:
        OSError: A loader process was killed.
    """
    with naming_killed_loaders():
        with interrupts_blocked(), _raising_only_when_asked():  # here the processes start
            loaded = iter(loaded)
        for batch in loaded:
            if isinstance(batch, UserError):
                raise batch
            yield batch


@contextmanager
def naming_killed_loaders() -> Iterator[None]:
    """Raises OSError with cause and cure if a loader process is killed."""
    found = "found one killed, as when memory or shared memory runs out"
    message = f"loader processes: {found}; expected fewer --num-workers, {_CURE}"
    try:
        yield
    except RuntimeError as error:
        if not re.match(r"DataLoader worker \(pid", str(error)):
            raise
        raise OSError(message) from error
    except (ConnectionError, EOFError) as error:  # before torch knows that the process has ended
        raise OSError(message) from error


@contextmanager
def _raising_only_when_asked() -> Iterator[None]:
    """Keeps torch from raising an error the moment that a loader process ends.

    It would do so anywhere: between a step and the count of it, or in a finaliser, which loses it.
    Without its handler of SIGCHLD it notices within 5 s when it waits for a batch.
    """
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGCHLD) is not before:
            signal.signal(signal.SIGCHLD, before)
