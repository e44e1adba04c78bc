"""Block sizes of the Triton kernels: a checked-in table, so nothing is tuned at run time.

kernel_table.json holds a kernel's block sizes, warps and pipeline stages, one row for each
architecture (80, 90, 100), bytes of an element (2, 4), presence of a bias, and largest size (keys
of the attention; 0 for any). `python -m benchmarks.tuning` measures the rows on a GPU.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from slt_fast.ops.backend import interprets

PATH = Path(__file__).with_name("kernel_table.json")
INTERPRETED_ARCHITECTURE = 90


@dataclass(frozen=True)
class Row:
    """How a kernel is launched."""

    kernel: str
    architecture: int  # oldest GPUs of the row: 80 (A100), 90 (H100), 100 (B200)
    itemsize: int  # bytes of an element
    biased: bool  # whether scores have a bias, whose tile takes registers of its own
    max_size: int  # largest size of the row; 0 for any
    blocks: dict[str, int]  # the kernel's BLOCK_* arguments
    num_warps: int  # of a program
    num_stages: int  # of the software pipeline


@functools.cache
def rows() -> tuple[Row, ...]:
    """Returns the whole table."""
    return tuple(Row(**row) for row in json.loads(PATH.read_text(encoding="utf-8")))


@functools.cache
def find(kernel: str, architecture: int, itemsize: int, size: int = 0, biased: bool = False) -> Row:
    """Returns a kernel's row: the smallest size that is enough, then the newest architecture.

    Raises:
        LookupError: There is no such row.
    """
    fitting = [
        row
        for row in rows()
        if row.kernel == kernel
        and row.architecture <= architecture
        and row.itemsize == itemsize
        and row.biased == biased
        and (row.max_size >= size or row.max_size == 0)
    ]
    if not fitting:
        found = f"{kernel} on sm_{architecture}, {itemsize} bytes, size {size}, biased {biased}"
        raise LookupError(f"{PATH.name}: found no row for {found}; expected one")
    return min(fitting, key=lambda row: (row.max_size or float("inf"), -row.architecture))


@functools.cache
def architecture_of(device: torch.device) -> int:
    """Returns 80, 90, 100, ... for a GPU; INTERPRETED_ARCHITECTURE if kernels are interpreted."""
    if device.type != "cuda" or interprets():
        return INTERPRETED_ARCHITECTURE
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor
