"""Collects what FFmpeg logs while it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import av.logging


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
