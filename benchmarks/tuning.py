"""Measures block sizes of the kernels on the GPU at hand and writes slt_fast/ops/kernel_table.json.

    python -m benchmarks.tuning --kernel projection --minutes 10

Only rows of the GPU's own architecture are replaced or added. A kernel is timed within its
operator, with all other kernels at their rows of the table. Each candidate runs in a process that
it may end; candidates that do not compile, spill registers or compute a wrong result are dropped.
"""

import argparse
import contextlib
import functools
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from unittest import mock

import torch

from benchmarks import parity, timing
from benchmarks.cases import KEY_CHANNELS, Case, Inputs, make_inputs
from benchmarks.jobs import Job, Workers
from benchmarks.peers import ours, plain
from slt_fast.files import replacing
from slt_fast.ops import kernel_table
from slt_fast.ops.kernel_table import Row
from slt_fast.ops.launching import Launch

# Tile sizes to try besides a row's own; blocks that are not named stay as they are.
BLOCKS: dict[str, dict[str, tuple[int, ...]]] = {
    "add_encoding": {"BLOCK": (1024, 2048, 4096, 8192), "MAPS": (1, 2, 4, 8)},
    "block_forward": {"BLOCK_ROWS": (64, 128, 256)},
    "dbias": {"BLOCK_Q": (32, 64), "BLOCK_K": (32, 64), "BLOCK_V": (32, 64)},
    "delta": {"BLOCK_Q": (8, 16, 32, 64)},
    "flash_forward": {"BLOCK_Q": (64, 128), "BLOCK_K": (32, 64, 128), "BLOCK_V": (64, 128, 256)},
    "key_block_backward": {"BLOCK_Q": (16, 32, 64), "BLOCK_K": (32, 64)},
    "key_block_backward_narrow": {"BLOCK_Q": (32, 64, 128), "BLOCK_K": (32, 64, 128)},
    "map_sums": {"BLOCK": (32, 64, 128, 256), "BLOCK_TERMS": (16, 32, 64, 128)},
    "projection": {
        "BLOCK_ROWS": (64, 128, 256),
        "BLOCK_COLUMNS": (64, 128, 256),
        "BLOCK_CHANNELS": (16, 32, 64),
    },
    "total_sums": {"BLOCK": (16, 32, 64, 128), "BLOCK_TERMS": (32, 64, 128, 256)},
    "transposed_product": {"BLOCK_ROWS": (32, 64, 128), "BLOCK_COLUMNS": (32, 64, 128)},
    "weights_backward": {"BLOCK_Q": (32, 64, 128), "BLOCK_K": (32, 64, 128)},
    "whole_map_backward": {"BLOCK_V": (16, 32, 64, 128)},
    "whole_row_forward": {"BLOCK_Q": (16, 32, 64, 128), "BLOCK_V": (32, 64, 128)},
}
# Sides of the maps that kernels without a largest size are timed on; 7 for others.
SIDES = {
    "flash_forward": 28,
    "delta": 28,
    "key_block_backward": 28,
    "key_block_backward_narrow": 28,
    "transposed_product": 28,
    "weights_backward": 14,
}
SUMS = ("map_sums", "total_sums")  # of the block's backward pass
WARPS = (4, 8)
STAGES = (1, 2, 3, 4)
# Most values in the tile of the two largest blocks that registers can hold, by bytes a value.
MAX_TILE = {2: 2**15, 4: 2**13}
GAIN = 0.98  # a candidate replaces a row if it takes at most this share of its time


def base_name(kernel: str) -> str:
    return kernel.removesuffix("_residual")


def key(row: Row) -> tuple:
    """Returns what a row is for, without the architecture."""
    return row.kernel, row.itemsize, row.biased, row.max_size


def current_rows(rows: Iterable[Row], architecture: int) -> list[Row]:
    """Returns the row that an architecture uses now, for each kernel, size and type."""
    fitting = [row for row in rows if row.architecture <= architecture]
    fitting.sort(key=lambda row: row.architecture)
    return sorted({key(row): row for row in fitting}.values(), key=key)


def candidates(row: Row) -> list[Row]:
    """Returns rows that differ from this one in one block, in the warps or in the stages."""
    sizes = BLOCKS[base_name(row.kernel)]
    others = [replace(row, blocks=row.blocks | {name: n}) for name in sizes for n in sizes[name]]
    others += [replace(row, num_warps=number) for number in WARPS]
    if row.kernel != "add_encoding":  # it has no loop to pipeline
        others += [replace(row, num_stages=number) for number in STAGES]
    limit = MAX_TILE[row.itemsize]
    fitting = [other for other in others if math.prod(sorted(other.blocks.values())[-2:]) <= limit]
    return [other for other in fitting if other != row]


def workload(row: Row) -> tuple[Case, str]:
    """Returns the case and the direction that a kernel is timed in."""
    operator, direction = "pixel_attention", "backward"
    if row.kernel == "add_encoding":
        operator = "positional_encoding"
    elif row.kernel in ("projection", "block_forward", *SUMS) or row.kernel.endswith("_residual"):
        operator = "pixel_attention_block"
    is_backward = operator == "pixel_attention" or row.kernel in SUMS
    if not is_backward or row.kernel.endswith("_forward"):
        direction = "forward"
    side = {64: 7, 256: 14}.get(row.max_size) or SIDES.get(base_name(row.kernel), 7)
    num_heads = 8 if row.kernel.endswith("_narrow") else 1
    dtype = {2: "bfloat16", 4: "float32"}[row.itemsize]
    B = (256 if side < 28 else 64) // (row.itemsize // 2)
    key_channels = KEY_CHANNELS * num_heads
    options = {"key_channels": key_channels, "num_heads": num_heads, "dtype": dtype}
    return Case(operator, B, side, side, **options, device="cuda"), direction


def measure(row: Row) -> dict:
    """Returns {"seconds": time of a row's workload}, or {"dropped": why}."""
    case, direction = workload(row)
    function, sets, reference = _prepared(case, row.biased, row.kernel == "dbias")
    with using(row) as spills:
        found = parity.check(function, sets[0], reference)
        if not found.passed:
            return {"dropped": f"wrong: {found.worst:.1f} times the allowed error"}
        if any(spills):
            return {"dropped": f"spills {max(spills)} registers"}
        times = timing.time_call(function, sets, direction, seconds=0.05)
    taken = (times[mode] for mode in ("cold graph", "cold"))  # one of them may be a sentence
    return {"seconds": next(value["median"] for value in taken if not isinstance(value, str))}


@functools.lru_cache(maxsize=1)
def _prepared(
    case: Case, biased: bool, needs_dbias: bool
) -> tuple[Callable, list[Inputs], parity.Reference]:
    """Returns the operator, input sets and exact results of a workload."""
    sets = timing.input_sets(case, "channels_last", make_inputs(case, "channels_last"))
    if biased:
        sets = [_with_bias(inputs, case, needs_dbias) for inputs in sets]
    return ours(case, "triton"), sets, parity.Reference.build(plain(case), sets[0])


def _with_bias(inputs: Inputs, case: Case, needs_gradient: bool) -> Inputs:
    bias = torch.randn(case.N, case.N, device=case.device, dtype=case.torch_dtype)
    if not needs_gradient:
        return replace(inputs, constants=(bias,))
    leaves = (*inputs.leaves, bias.requires_grad_())
    return replace(inputs, leaves=leaves, names=(*inputs.names, "bias"))


@contextlib.contextmanager
def using(row: Row) -> Iterator[list[int]]:
    """Replaces the table's row by another one; yields the spilled registers of each launch."""
    find, start, spills = kernel_table.find, Launch.start, []

    def find_row(kernel: str, *arguments, **options) -> Row:
        return row if kernel == row.kernel else find(kernel, *arguments, **options)

    def start_and_note(launch: Launch, tensors: dict) -> None:
        compiled = start(launch, tensors)
        if launch.row == row:
            spills.append(compiled.n_spills)

    with (
        mock.patch.object(kernel_table, "find", find_row),
        mock.patch.object(Launch, "start", start_and_note),
    ):
        yield spills


def _measured(rows: list[Row], deadline: float, workers: Workers) -> dict[int, float]:
    """Returns the seconds of the rows that were not dropped, by their number."""
    jobs = [
        Job("tune", str(number), measure, {"row": row}, seconds=30, limit=300)
        for number, row in enumerate(rows)
    ]
    times = {}
    for outcome in workers.run(jobs, 1, deadline):
        found = outcome.result or {"dropped": outcome.reason}
        if "seconds" in found:
            times[int(outcome.job.name)] = found["seconds"]
        print(f"{describe(outcome.job.arguments['row'])}: {found}")
    return times


def _descend(row: Row, measured: Callable[[list[Row]], dict[int, float]]) -> Row | None:
    """Moves to the fastest candidate until none is faster; None if the row itself has no time."""
    seconds = measured([row]).get(0)
    tried = [row]
    while seconds is not None:
        others = [other for other in candidates(row) if other not in tried]
        tried += others
        times = measured(others)
        fastest = min(times, key=lambda number: times[number], default=None)
        if fastest is None or times[fastest] > GAIN * seconds:
            print(f"best: {describe(row)}")
            return row
        row, seconds = others[fastest], times[fastest]
    return None


def describe(row: Row) -> str:
    blocks = ", ".join(f"{name} {size}" for name, size in row.blocks.items())
    bias = ", biased" if row.biased else ""
    kind = f"{row.kernel} up to {row.max_size or 'any'}, {row.itemsize} bytes{bias}"
    return f"{kind}: {blocks}, {row.num_warps} warps, {row.num_stages} stages"


def merged(table: Sequence[Row], best: Sequence[Row]) -> list[Row]:
    """Merges measured rows into a table.

    A row of an architecture hides those of older ones for all sizes of its kernel. Sizes that were
    not measured therefore keep the row they had, under the new architecture.
    """
    rows = {(row.architecture, *key(row)): row for row in [*table, *best]}
    for row in best:
        for older in current_rows(table, row.architecture):
            if key(older)[:-1] == key(row)[:-1]:
                own = replace(older, architecture=row.architecture)
                rows.setdefault((row.architecture, *key(own)), own)
    order = ("kernel", "architecture", "itemsize", "biased", "max_size")
    return sorted(rows.values(), key=lambda row: [getattr(row, name) for name in order])


def write_table(path: Path, rows: Iterable[Row]) -> None:
    lines = ",\n".join(f" {json.dumps(asdict(row))}" for row in rows)
    with replacing(path) as partial:
        partial.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tuning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--kernel", action="append", choices=sorted(BLOCKS), help="only this one; may be repeated")
    add("--minutes", type=float, default=120.0, help="time for all rows")
    add("--table", type=Path, default=kernel_table.PATH, help="file to write")
    add("--dry-run", action="store_true", help="print rows and candidates; needs no GPU")
    arguments = parser.parse_args()
    has_gpu = torch.cuda.is_available()
    if not arguments.dry_run and not has_gpu:
        sys.exit("found no CUDA GPU; expected one, or --dry-run")
    architecture = kernel_table.architecture_of(torch.device("cuda" if has_gpu else "cpu"))
    rows = [
        row
        for row in current_rows(kernel_table.rows(), architecture)
        if not arguments.kernel or base_name(row.kernel) in arguments.kernel
    ]
    if arguments.dry_run:
        for row in rows:
            print(f"sm_{row.architecture} {describe(row)}")
            for candidate in candidates(row):
                print(f"    {describe(candidate).partition(': ')[2]}")
        return
    deadline = time.monotonic() + 60 * arguments.minutes
    with Workers() as workers:
        found = [_descend(row, lambda tried: _measured(tried, deadline, workers)) for row in rows]
    best = [replace(row, architecture=architecture) for row in found if row is not None]
    write_table(arguments.table, merged(kernel_table.rows(), best))
    print(f"{arguments.table}: {len(best)} of {len(rows)} rows measured for sm_{architecture}")


if __name__ == "__main__":
    main()
