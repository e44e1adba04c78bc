"""The flow of one clip on disk, as a safetensors file: nothing is unpickled.

The file holds [T, 2, size, size] in pixels of that size as float16, the first field zero, and a
header of texts: the checksum of the flow, and what the flow cache needs to find it.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from slt_fast.errors import DataError, UserError
from slt_fast.files import check_file, replacing

_TENSOR, _TYPE, _CHECKSUM = "flow", "F16", "crc32"
_ADVICE = " (delete the file and run slt-extract-flow again)"


@dataclass(frozen=True)
class CachedFlow:
    """The flow of one clip on disk."""

    path: Path
    num_frames: int  # of the clip

    def read(self) -> torch.Tensor:
        """Reads the flow, float16 [T, 2, size, size] in pixels of that size; zero in frame 0.

        Raises:
            DataError: The file is gone or damaged.
        """
        with _opened(self.path) as file:
            flow, header = file.get_tensor(_TENSOR), file.metadata() or {}
        if header.get(_CHECKSUM) != _checksum(flow):
            expected = f"the checksum that was written with it{_ADVICE}"
            raise DataError(self.path, "damaged flow", expected)
        return flow


def find_cached_flow(path: Path, header: Mapping[str, str], size: int, name: str) -> CachedFlow:
    """Finds a clip's flow [T, 2, size, size] in a file with these texts in its header.

    Raises:
        DataError: The file is missing or broken, or holds other flow.
    """
    check_file(path, f"the flow of {name}")
    with _opened(path) as file:
        part, recorded = file.get_slice(_TENSOR), file.metadata() or {}
        kind, shape = part.get_dtype(), part.get_shape()
    for key, expected in header.items():
        if recorded.get(key) != expected:
            raise DataError(path, f"flow of {name} with {key} {recorded.get(key)}", expected)
    if kind != _TYPE or len(shape) != 4 or shape[1:] != [2, size, size]:
        raise DataError(path, f"{kind} of {shape}", f"{_TYPE} of [T, 2, {size}, {size}]")
    return CachedFlow(path, shape[0])


def write_cached_flow(path: Path, flow: torch.Tensor, header: Mapping[str, str]) -> None:
    """Writes flow, float16 [T, 2, size, size], with texts for the header, whole or not at all.

    Raises:
        OSError: The file cannot be written, for example because the disk is full.
    """
    flow = flow.cpu().contiguous()
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(save({_TENSOR: flow}, {**header, _CHECKSUM: _checksum(flow)}))
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{path}: could not write the flow: {reason}") from error


def to_float16(flow: torch.Tensor, *, first: int = 0) -> torch.Tensor:
    """Rounds flow to what a file holds: an error of at most 2^-12 of the motion.

    Args:
        flow: [T, 2, size, size] in pixels.
        first: Number of its first frame in the clip, for errors.

    Raises:
        UserError: Motion beyond float16.
        ValueError: NaN or infinity.
    """
    half = flow.half()
    finite = torch.isfinite(half)
    if not finite.all():
        value, t = flow[~finite][0].item(), first + int((~finite).nonzero()[0, 0])
        found = f"flow of {value:g} pixels in frame {t}"
        if not math.isfinite(value):
            raise ValueError(found)
        raise UserError(f"{found}, beyond the 65504 of float16")
    return half


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        expected = f"a whole safetensors file of flow{_ADVICE}"
        raise DataError(path, str(error), expected) from error


def _checksum(flow: torch.Tensor) -> str:
    return str(zlib.crc32(flow.numpy().tobytes()))
