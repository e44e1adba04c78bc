"""Reads and writes flow in Middlebury's .flo files, as MPI-Sintel and FlyingChairs use them.

Little-endian: float32 202021.25, int32 width, int32 height, then height x width pairs of float32
(u, v), row by row. A component beyond 1e9 marks unknown flow.
"""

import struct
from pathlib import Path

import numpy as np

from slt_fast.errors import DataError
from slt_fast.files import check_file, replacing

TAG = 202021.25
LARGEST_SIDE = 99_999  # Baker et al., "A Database and Evaluation Methodology for Optical Flow"
_HEADER = struct.Struct("<fii")


def read_flow(path: str | Path) -> np.ndarray:
    """Reads a .flo file as float32 [2, H, W], (u, v) in pixels; unknown values as in the file.

    Raises:
        DataError: The file is missing, has another tag or an absurd size, or its bytes do not match
            its size.
    """
    path = Path(path)
    check_file(path, "a .flo file")
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise DataError(path, f"{num_bytes} bytes", f"a .flo header of {_HEADER.size}")
        tag, W, H = _HEADER.unpack(header)
        if tag != TAG:
            raise DataError(path, f"tag {tag:g} ({header[:4]!r})", f"{TAG} (b'PIEH'), as in .flo")
        _check_size(path, H, W)
        expected = _HEADER.size + 8 * H * W
        if num_bytes != expected:
            raise DataError(path, f"{num_bytes} bytes", f"{expected} for a flow of {W}x{H} pixels")
        values = np.fromfile(file, "<f4", 2 * H * W)
    if values.size < 2 * H * W:  # truncated while it was read
        raise DataError(path, f"{values.size} values", f"{2 * H * W}")
    return np.ascontiguousarray(values.reshape(H, W, 2).transpose(2, 0, 1), np.float32)


def write_flow(path: str | Path, flow: np.ndarray) -> None:
    """Writes flow [2, H, W], (u, v) in pixels, to a .flo file as float32, whole or not at all.

    Raises:
        ValueError: The flow has another shape or an absurd size.
        OSError: The file cannot be written.
    """
    path, flow = Path(path), np.asarray(flow)
    if flow.ndim != 3 or len(flow) != 2:
        raise ValueError(f"{path}: found flow of shape {[*flow.shape]}; expected [2, H, W]")
    _, H, W = flow.shape
    _check_size(path, H, W)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(_HEADER.pack(TAG, W, H))
        file.write(flow.transpose(1, 2, 0).astype("<f4").tobytes())


def _check_size(path: Path, H: int, W: int) -> None:
    if not (0 < W <= LARGEST_SIDE and 0 < H <= LARGEST_SIDE):
        raise DataError(path, f"a flow of {W}x{H} pixels", f"sides of 1 to {LARGEST_SIDE} pixels")
