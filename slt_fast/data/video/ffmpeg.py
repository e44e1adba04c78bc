"""What FFmpeg logs, and what PyAV raises, while they work on a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import av
import av.logging

from slt_fast.errors import DataError


@contextmanager
def messages() -> Iterator[list[tuple[int, str, str]]]:
    """Collects FFmpeg's errors: level, source and text; its log elsewhere stays as it is."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as collected:
            yield collected
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)


@contextmanager
def refusing(refuse: Callable[[str], DataError]) -> Iterator[None]:
    """Raises a DataError for whatever PyAV raises; holds calls of PyAV and nothing else.

    PyAV meets damaged files with AttributeError, IndexError, UnicodeDecodeError and others. Around
    our own code, such a guard would hide defects.

    Args:
        refuse: Makes the error from what is said of its cause.
    """
    try:
        yield
    except av.FFmpegError as error:
        raise refuse(error.strerror or str(error)) from error
    except MemoryError:  # as everywhere: `result_or_error` knows it
        raise
    except Exception as error:
        raise refuse(f"{type(error).__name__} in PyAV: {error}") from error
