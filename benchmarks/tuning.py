"""Measures block sizes of the kernels on the GPU at hand, for kernel_table.json.

A kernel is timed within its operator, with all other kernels at their rows of the table. Each
candidate runs in a process that it may end; one that does not compile, spills registers or computes
something wrong is dropped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from unittest import mock

import torch

from benchmarks import parity, timing
from benchmarks.cases import Case, Inputs, make_inputs
from benchmarks.gpu_report.jobs import Job, Worker, run_jobs
from benchmarks.peers import ours, plain
from slt_fast.ops import kernel_table
from slt_fast.ops.kernel_table import Row

# Tile sizes that are tried beside a row's own; a block that is not named stays as it is.
BLOCKS = {
    "add_encoding": {"BLOCK": (1024, 2048, 4096, 8192), "MAPS": (1, 2, 4, 8)},
    "dbias": {"BLOCK_Q": (32, 64), "BLOCK_K": (32, 64), "BLOCK_V": (32, 64)},
    "dk": {"BLOCK_Q": (32, 64), "BLOCK_K": (32, 64, 128), "BLOCK_V": (32, 64, 128)},
    "dv": {"BLOCK_Q": (32, 64), "BLOCK_K": (32, 64, 128), "BLOCK_V": (64, 128, 256)},
    "flash_dq": {"BLOCK_Q": (32, 64, 128), "BLOCK_K": (32, 64), "BLOCK_V": (32, 64, 128)},
    "flash_forward": {"BLOCK_Q": (64, 128), "BLOCK_K": (32, 64, 128), "BLOCK_V": (64, 128, 256)},
    "projection": {
        "BLOCK_ROWS": (64, 128, 256),
        "BLOCK_COLUMNS": (64, 128, 256),
        "BLOCK_CHANNELS": (16, 32, 64),
    },
    "whole_map_backward": {"BLOCK_V": (16, 32, 64, 128)},
    "whole_row_dq": {"BLOCK_Q": (16, 32, 64), "BLOCK_V": (32, 64, 128)},
    "whole_row_forward": {"BLOCK_Q": (16, 32, 64), "BLOCK_V": (32, 64, 128)},
}
WARPS = (4, 8)
STAGES = (1, 2, 3, 4)
# Values of the two largest blocks' tile beyond which registers do not suffice, by bytes a value.
MAX_TILE = {2: 2**15, 4: 2**13}
GAIN = 0.98  # a row is replaced by what takes at most so much of its time


def base_name(kernel: str) -> str:
    """The kernel without what is told of its residual."""
    return kernel.removesuffix("_residual")


def key(row: Row) -> tuple:
    """What a row is for, but for the architecture."""
    return row.kernel, row.itemsize, row.biased, row.max_size


def current_rows(rows: Iterable[Row], architecture: int) -> list[Row]:
    """Of each kernel, size and type the row that an architecture takes now."""
    best: dict[tuple, Row] = {}
    for row in rows:
        is_newer = key(row) not in best or best[key(row)].architecture < row.architecture
        if row.architecture <= architecture and is_newer:
            best[key(row)] = row
    return sorted(best.values(), key=key)


def candidates(row: Row) -> list[Row]:
    """Rows that differ from this one in one block, in the warps or in the stages."""
    changed_blocks = [
        {"blocks": row.blocks | {name: size}}
        for name, sizes in BLOCKS[base_name(row.kernel)].items()
        for size in sizes
    ]
    changes = [*changed_blocks, *({"num_warps": number} for number in WARPS)]
    if row.kernel != "add_encoding":  # it has no loop to be pipelined
        changes += [{"num_stages": number} for number in STAGES]
    others = [dataclasses.replace(row, **change) for change in changes]
    return [other for other in others if other != row and _fits(other)]


def _fits(row: Row) -> bool:
    *_, second, first = sorted(row.blocks.values())
    return second * first <= MAX_TILE[row.itemsize]


def workload(row: Row) -> tuple[Case, str]:
    """What a kernel is timed in: the operator's case, and the direction."""
    name = base_name(row.kernel)
    operator, direction = "pixel_attention", "backward"
    if name.endswith("_forward"):
        direction = "forward"
    if row.kernel.endswith("_residual") or name == "projection":
        operator, direction = "pixel_attention_block", "forward"
    if name == "add_encoding":
        operator, direction = "positional_encoding", "forward"
    side = {64: 7, 256: 14}.get(row.max_size, 7 if "BLOCK_Q" not in row.blocks else 28)
    dtype = {2: "bfloat16", 4: "float32"}[row.itemsize]
    B = (256 if side < 28 else 64) // (row.itemsize // 2)
    return Case(operator, B, side, side, dtype=dtype, device="cuda"), direction


def measure(row: Row, seconds: float = 0.05) -> dict:
    """Seconds of a row's workload, and why it is dropped if it is."""
    case, direction = workload(row)
    needs_dbias = row.kernel == "dbias"
    function, sets, reference = _prepared(case, row.biased, needs_dbias)
    with using(row) as spills:
        found = parity.check(function, sets[0], reference)
        if not found.passed:
            return {"dropped": f"wrong: {found.worst:.1f} times the error it may have"}
        if any(spills):
            return {"dropped": f"spills {max(spills)} registers"}
        times = timing.time_call(function, sets, direction, seconds=seconds)
    graph = times["cold graph"]
    return {"seconds": (graph if isinstance(graph, timing.Timing) else times["cold"]).median}


@functools.lru_cache(maxsize=1)
def _prepared(
    case: Case, biased: bool, needs_dbias: bool
) -> tuple[Callable, list[Inputs], parity.Reference]:
    """The operator, input sets and exact results of a workload."""
    first = make_inputs(case, "channels_last")
    seeds = range(timing.num_input_sets(first))
    sets = [make_inputs(case, "channels_last", seed) for seed in seeds]
    if biased:
        sets = [_with_bias(inputs, case, needs_dbias) for inputs in sets]
    return ours(case, "triton"), sets, parity.Reference.build(plain(case), sets[0])


def _with_bias(inputs: Inputs, case: Case, needs_gradient: bool) -> Inputs:
    bias = torch.randn(case.N, case.N, device=case.device, dtype=case.torch_dtype)
    if not needs_gradient:
        return dataclasses.replace(inputs, constants=(bias,))
    leaves, names = (*inputs.leaves, bias.requires_grad_()), (*inputs.names, "bias")
    return dataclasses.replace(inputs, leaves=leaves, names=names)


@contextlib.contextmanager
def using(row: Row) -> Iterator[list[int]]:
    """Puts a row in the place of the table's; yields the spilled registers of each launch."""
    find, spills = kernel_table.find, []

    def find_row(kernel: str, *arguments, **options) -> Row:
        return row if kernel == row.kernel else find(kernel, *arguments, **options)

    def launch(kernel, num_programs: int, launched: Row, device: torch.device, **arguments) -> None:
        options = {"num_warps": launched.num_warps, "num_stages": launched.num_stages}
        compiled = kernel[(num_programs,)](**{**launched.blocks, **arguments}, **options)
        if launched == row:
            spills.append(compiled.n_spills)

    with (
        mock.patch.object(kernel_table, "find", find_row),
        mock.patch.object(kernel_table, "launch", launch),
    ):
        yield spills


def tune(
    rows: list[Row], architecture: int, minutes: float, tell: Callable[[str], None]
) -> list[Row]:
    """Measures rows and their candidates, then those of the best, until nothing gains any more.

    Returns:
        For each row what was found fastest on this architecture; one whose time could not be taken
        is missing.
    """
    deadline, workers, best = time.monotonic() + 60 * minutes, [], []
    try:
        for row in rows:
            found = _descend(row, lambda tried: _measured(tried, deadline, workers, tell))
            if found is not None:
                best.append(dataclasses.replace(found, architecture=architecture))
                tell(f"best: {describe(found)}")
    finally:
        for worker in workers:
            worker.close()
    return best


def _measured(
    rows: list[Row], deadline: float, workers: list[Worker], tell: Callable[[str], None]
) -> dict[int, float]:
    """Seconds of those rows, by their number, that were not dropped."""
    jobs = [Job("tune", str(number), measure, {"row": row}, 30) for number, row in enumerate(rows)]
    times = {}
    for outcome in run_jobs(jobs, num_workers=1, deadline=deadline, workers=workers):
        found = outcome.result or {"dropped": outcome.reason}
        if "seconds" in found:
            times[int(outcome.job.name)] = found["seconds"]
        tell(f"{describe(outcome.job.arguments['row'])}: {found}")
    return times


def _descend(row: Row, measured: Callable[[list[Row]], dict[int, float]]) -> Row | None:
    """Goes to the fastest candidate again and again; None where the row itself has no time."""
    seconds = measured([row]).get(0)
    tried = [row]
    while seconds is not None:
        others = [other for other in candidates(row) if other not in tried]
        tried += others
        times = measured(others)
        fastest = min(times, key=times.get, default=None)
        if fastest is None or times[fastest] > GAIN * seconds:
            return row
        row, seconds = others[fastest], times[fastest]
    return None


def describe(row: Row) -> str:
    """A row as a line."""
    blocks = ", ".join(f"{name} {size}" for name, size in row.blocks.items())
    bias = ", biased" if row.biased else ""
    kind = f"{row.kernel} up to {row.max_size or 'any'}, {row.itemsize} bytes{bias}"
    return f"{kind}: {blocks}, {row.num_warps} warps, {row.num_stages} stages"


def merged(table: Iterable[Row], best: Iterable[Row]) -> list[Row]:
    """A table with measured rows in it.

    A row of an architecture hides those of older ones for all sizes of its kernel, so that the
    sizes that were not measured get a row, too: the one they had.
    """
    table, best = list(table), list(best)
    rows = {(row.architecture, *key(row)): row for row in [*table, *best]}
    for row in best:
        for older in current_rows(table, row.architecture):
            if key(older)[:-1] == key(row)[:-1]:
                own = dataclasses.replace(older, architecture=row.architecture)
                rows.setdefault((row.architecture, *key(own)), own)
    order = ("kernel", "architecture", "itemsize", "biased", "max_size")
    return sorted(rows.values(), key=lambda row: [getattr(row, name) for name in order])


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Writes one row a line, all at once."""
    lines = ",\n".join(f" {json.dumps(dataclasses.asdict(row))}" for row in rows)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    os.replace(partial, path)
