"""Decodes a video that nobody trusts, in a process with limits of time and memory.

The process sends bare bytes, which are not unpickled: one that a broken file has taken over can
send wrong pictures, but not code.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, UserError
from slt_fast.serving.limits import Limits

_FRAME = struct.Struct("<dII")  # seconds, height and width of a frame, before its pixels
_ERROR, _PICTURE, _RATE = b"e", b"p", b"r"
# A server that starts processes from a warm one starts each in milliseconds.
_START = multiprocessing.get_context("forkserver")
_START.set_forkserver_preload([__name__])


class Decoded(NamedTuple):
    """A video that is being decoded."""

    frame_rate: float | None
    frames: Iterator[tuple[float, np.ndarray]]  # seconds, and uint8 [H, W, 3] RGB


@contextmanager
def decoding(path: Path, name: str, limits: Limits) -> Iterator[Decoded]:
    """Decodes a video in another process, which ends with the block.

    Args:
        path: The file.
        name: What errors call it.
        limits: Limits of time, memory and length.

    Yields:
        The video. Its frames raise DataError for a file that cannot be read, or is too much.

    Raises:
        DataError: As its frames do.
    """
    ours, theirs = _START.Pipe(duplex=False)
    process = _START.Process(target=_decode, args=(theirs, path, name, limits), daemon=True)
    process.start()
    theirs.close()
    try:
        rate = json.loads(_received(ours, name, _RATE))
        yield Decoded(rate, _frames(ours, name, limits))
    finally:
        ours.close()
        process.kill()
        process.join()


def _frames(ours: Connection, name: str, limits: Limits) -> Iterator[tuple[float, np.ndarray]]:
    while message := _received(ours, name, _PICTURE):
        seconds, height, width = _FRAME.unpack_from(message)
        if seconds > limits.max_seconds:
            expected = f"at most {limits.max_seconds:g} seconds"
            raise DataError(name, "a longer video", expected)
        pixels = np.frombuffer(message, np.uint8, offset=_FRAME.size)
        yield seconds, pixels.reshape(height, width, 3)


def _received(ours: Connection, name: str, wanted: bytes) -> bytes:
    """Returns the next message, b"" after the last; raises the error that the process sent."""
    try:
        message = ours.recv_bytes()
    except EOFError:
        expected = "a video that is decoded within the server's limits of time and memory"
        raise DataError(name, "a video whose decoding was ended", expected) from None
    kind, content = message[:1], message[1:]
    if kind == _ERROR:
        raise UserError(content.decode("utf-8", "replace"))
    if kind != wanted:
        raise UserError(f"{name}: found what is no video; expected one")
    return content


def _decode(theirs: Connection, path: Path, name: str, limits: Limits) -> None:
    """Sends the frame rate and the frames of a file; runs in the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends it
    _limit(limits)
    try:
        source = VideoSource(path)
        theirs.send_bytes(_RATE + json.dumps(source.frame_rate()).encode())
        for seconds, frame in source.timed_frames():
            start = _PICTURE + _FRAME.pack(seconds, *frame.shape[:2])
            theirs.send_bytes(start + frame.tobytes())
        theirs.send_bytes(_PICTURE)
    except BrokenPipeError:
        return  # the client has left
    except (UserError, OSError) as error:
        theirs.send_bytes(_ERROR + str(error).replace(str(path), name).encode())
    except MemoryError:
        return  # told as a decoding that was ended


def _limit(limits: Limits) -> None:
    """Limits this process: CPU time, new memory, and no file it could write."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory = pages * resource.getpagesize() + limits.decode_megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    seconds = round(limits.decode_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
