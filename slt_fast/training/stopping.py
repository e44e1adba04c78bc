"""Ends a training at the end of a step or batch when SIGTERM or Ctrl-C asks for it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Stop:
    """Whether the program was asked to end.

    Args:
        signal: The signal that asked; None for none.
    """

    signal: int | None = None

    def end(self) -> NoReturn:
        """Ends the program as the signal would have; SIGTERM if another process got it."""
        number = self.signal or signal.SIGTERM
        signal.raise_signal(number)
        raise SystemExit(128 + number)

    def end_if_asked(self) -> None:
        """Ends the program if a signal asked for it."""
        if self.signal is not None:
            self.end()

    @contextmanager
    def ending_for_errors(self) -> Iterator[None]:
        """Ends the program if the block raises an error after a signal.

        A signal to all processes of a job ends the loader processes as well.
        """
        try:
            yield
        except Exception:
            self.end_if_asked()
            raise


@contextmanager
def noting_signals() -> Iterator[Stop]:
    """Notes the first SIGTERM or Ctrl-C in the block; the next one acts as it did before.

    An exception would be lost if it arose in a finaliser, such as that of a loader.

    Only in the main thread, as others can set no handler.
    """
    stop, before = Stop(), {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _: FrameType | None) -> None:
        stop.signal = number
        restore()

    try:
        for number in _SIGNALS:
            signal.signal(number, note)
    except ValueError:  # not the main thread
        yield stop
        return
    try:
        yield stop
    finally:
        restore()
