"""Trains once without and once with faults, and compares the two runs to the bit.

python scripts/soak.py --minutes 60 --output runs/soak

Faults: kill -9, SIGTERM, a corrupt clip, a full disk, a killed loader process, a second training in
the same folder. Both runs meet NaN in the batches of the same steps.
"""

import random
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from fault_injection.clips import write_data_set
from fault_injection.comparison import differences
from fault_injection.disk import check_small, mount_small_disk
from fault_injection.faults import AT_START, FAULTS
from fault_injection.plan import Moment, plan_faults, plan_nan
from fault_injection.runs import STEPS_PER_EPOCH, FaultyRun, Runs
from fault_injection.table import faults_not_seen, show, show_heading
from fault_injection.training import Unexpected

from slt_fast.command_line import parse, run
from slt_fast.errors import DataError
from slt_fast.settings import Bounds, check_settings

_SECONDS_PER_FAULT = 45


@dataclass(frozen=True)
class Arguments:
    """Trains once without and once with faults, and compares the two runs to the bit."""

    output: Path = Path("runs/soak")
    """Folder for the data set, the runs and their logs; empty or not there yet."""
    minutes: Annotated[float, Bounds(gt=0)] = 60.0
    """Minutes that the training with faults shall take, roughly; the other takes less."""
    epochs: Annotated[int, Bounds(ge=4)] | None = None
    """Epochs of each run; by default a short run before estimates them from the minutes."""
    seed: Annotated[int, Bounds(ge=0)] = 0
    """Seed of the data set, the training and the faults."""
    small_disk: Path | None = None
    """Folder on a file system of at most 1 GiB, which will be filled. By default one in memory is
    mounted in a namespace of its own."""

    def __post_init__(self) -> None:
        check_settings(self)


def prepare(arguments: Arguments) -> tuple[Runs, list[Moment]]:
    """Writes the data set, and plans runs and faults."""
    draw = random.Random(arguments.seed)
    manifest = write_data_set(arguments.output / "clips", arguments.seed)
    runs = Runs(manifest, arguments.epochs or 4, arguments.seed, (), arguments.output)
    pace = runs.measure(arguments.output / "measured")
    seconds = 60 * arguments.minutes
    number = max(len(FAULTS), int(seconds / _SECONDS_PER_FAULT))
    restarts = number * (pace.start + pace.epoch / 2)
    epochs = arguments.epochs or max(4, int((seconds - restarts) / pace.epoch))
    steps = epochs * STEPS_PER_EPOCH
    runs = replace(runs, epochs=epochs, nan_steps=plan_nan(draw, steps))
    counts = {"number": number, "steps": steps, "rest": 2 * STEPS_PER_EPOCH}
    times = {"step_seconds": pace.epoch / STEPS_PER_EPOCH, "start_seconds": pace.start}
    plan = plan_faults(draw, [*FAULTS], AT_START, **counts, **times)
    print(f"{epochs} epochs of {STEPS_PER_EPOCH} steps, {len(plan)} faults, NaN in steps", end=" ")
    print(*runs.nan_steps, flush=True)
    return runs, plan


def soak(arguments: Arguments, disk: Path) -> list[str]:
    """Trains without and with faults; returns what is wrong, a line each."""
    runs, plan = prepare(arguments)
    reference, folder = arguments.output / "reference", disk / "faulty"
    runs.train(reference)
    print("the run without faults has ended", flush=True)
    show_heading()
    outcomes = []
    try:
        for outcome in FaultyRun(runs, folder, random.Random(arguments.seed + 1)).train(plan):
            outcomes.append(outcome)
            show(len(outcomes), outcome)
        return faults_not_seen(outcomes) + differences(reference, folder)
    finally:
        if folder.exists():
            shutil.copytree(folder, arguments.output / "faulty")  # the disk may be in memory


def check_empty(output: Path, disk: Path | None) -> None:
    """Raises DataError if there is anything in one of the folders but the other."""
    folders = [folder for folder in (output, disk) if folder and folder.exists()]
    for path in (path for folder in folders for path in folder.iterdir() if path != disk):
        raise DataError(path.parent, f"{path.name} in it", "an empty folder")


def main() -> None:
    arguments = parse(Arguments, __doc__)
    output, disk = arguments.output, arguments.small_disk
    check_empty(output, disk)
    if disk is None:
        (output / "small_disk").mkdir(parents=True)
        mount_small_disk(output / "small_disk")  # and run this again
    check_small(disk)
    try:
        wrong = soak(arguments, disk)
    except Unexpected as error:
        wrong = [str(error)]
    print(*wrong, sep="\n") if wrong else print("equal to the bit")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    run(main)
