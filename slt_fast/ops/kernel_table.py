"""Block sizes of the Triton kernels: a checked-in table, so that nothing is tuned at run time.

kernel_table.json holds, for each kernel, architecture (80, 90, 100), bytes an element (2, 4), with
and without a bias, and greatest size it is meant for (keys of the attention; 0 where none matters),
the kernel's block sizes, warps and pipeline stages. `python -m benchmarks.tuning` measures them on a
GPU.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from slt_fast.ops.backend import interprets

PATH = Path(__file__).with_name("kernel_table.json")
INTERPRETED_ARCHITECTURE = 90


@dataclass(frozen=True)
class Row:
    """How a kernel is launched.

    Args:
        kernel: Name of the kernel.
        architecture: Oldest GPUs it is for: 80 (A100), 90 (H100), 100 (B200).
        itemsize: Bytes of an element.
        biased: Whether it is for scores with a bias, whose tile takes registers of its own.
        max_size: Greatest size it is for; 0 for any.
        blocks: The kernel's BLOCK_* arguments.
        num_warps: Warps of a program.
        num_stages: Stages of the software pipeline.
    """

    kernel: str
    architecture: int
    itemsize: int
    biased: bool
    max_size: int
    blocks: dict[str, int]
    num_warps: int
    num_stages: int


@functools.cache
def rows() -> tuple[Row, ...]:
    """The whole table."""
    return tuple(Row(**row) for row in json.loads(PATH.read_text(encoding="utf-8")))


@functools.cache
def find(kernel: str, architecture: int, itemsize: int, size: int = 0, biased: bool = False) -> Row:
    """The row for a kernel: the least size not below, of that the newest architecture not above.

    Raises:
        LookupError: There is none.
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
    """80, 90, 100, ... for a GPU; INTERPRETED_ARCHITECTURE where kernels are interpreted."""
    if device.type != "cuda" or interprets():
        return INTERPRETED_ARCHITECTURE
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def launch(
    kernel: Any, num_programs: int, row: Row, device: torch.device, **arguments: Any
) -> None:
    """Starts a kernel on a one-dimensional grid, on the device of its tensors.

    Args:
        kernel: The Triton function.
        num_programs: Size of the grid.
        row: Its row of the table; arguments may override its blocks.
        device: Where the tensors are.
        arguments: All of the kernel's arguments but the blocks that come from the row.
    """
    arguments = {**row.blocks, **arguments}
    options = {"num_warps": row.num_warps, "num_stages": row.num_stages}
    if device.type == "cuda" and device.index != torch.cuda.current_device():
        with torch.cuda.device(device):
            kernel[(num_programs,)](**arguments, **options)
    else:
        kernel[(num_programs,)](**arguments, **options)
