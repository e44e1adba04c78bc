"""The run without faults, and the one with them."""

import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from fault_injection.clips import NUM_CLIPS
from fault_injection.faults import EPOCHS_AFTER, FAULTS, Place, Seen
from fault_injection.plan import Moment
from fault_injection.training import Training
from slt_fast.checkpoint import checkpoint_folder
from slt_fast.files import read_json

_BATCH_SIZE = 4
# Steps in parts, random changes, other frame rates and two loader processes: all that resuming has
# to get right. The network is small, so that an hour holds many epochs.
_OPTIONS = f"""
    --recipe quickstart --batch-size {_BATCH_SIZE} --frames-at-once 150 --other-rates 0.3
    --no-preload --num-workers 2 --checkpoint-minutes 0.05 --device cpu
    --image-size 32 --backbone-stages 1 --width 64 --decoder-layers 1 --decoder-feed-forward 128
    --beam-size 2 --max-text-length 12 --evaluate-every 1
"""
STEPS_PER_EPOCH = math.ceil(NUM_CLIPS["train"] / _BATCH_SIZE)
_MEASURED_EPOCHS = 3
_LEFT_OUT = re.compile(r"step (\d+), clips .*: found a gradient of norm nan; left out")


class Pace(NamedTuple):
    """Seconds until the first step, and of an epoch with its scoring."""

    start: float
    epoch: float


@dataclass(frozen=True)
class Runs:
    """Runs with the same settings.

    Args:
        manifest: The data set.
        epochs: Epochs of each run.
        seed: Seed of the training.
        nan_steps: Steps that meet NaN.
        logs: Folder for the logs.
    """

    manifest: Path
    epochs: int
    seed: int
    nan_steps: Sequence[int]
    logs: Path

    def start(self, folder: Path) -> Training:
        """Starts a training into a folder, or goes on with the one that is there."""
        place, options = ["--output", str(folder)], ["--resume"]
        if not (folder / "last").exists():
            options = [*_OPTIONS.split(), "--data", f"manifest:{self.manifest}"]
            options += ["--epochs", str(self.epochs), "--seed", str(self.seed)]
            options += ["--resume"] if folder.exists() else []
        return Training([*options, *place], self.nan_steps, self.logs / f"{folder.name}.log")

    def finish(self, training: Training) -> None:
        """Waits for the end of a training that nothing disturbs."""
        if status := training.end():
            raise training.unexpected(f"found status {status}; expected 0")
        training.check_log()

    def train(self, folder: Path) -> Training:
        """Trains without faults."""
        training = self.start(folder)
        try:
            self.finish(training)
        finally:
            training.close()
        self.check_nan([training])
        return training

    def measure(self, folder: Path) -> Pace:
        """Trains for a few epochs, and returns how long they took."""
        begun = replace(self, epochs=_MEASURED_EPOCHS, nan_steps=()).train(folder).begun
        first, last = STEPS_PER_EPOCH, STEPS_PER_EPOCH * (_MEASURED_EPOCHS - 1)
        return Pace(begun[0], (begun[last] - begun[first]) / (_MEASURED_EPOCHS - 2))

    def check_nan(self, trainings: Sequence[Training]) -> None:
        """Raises Unexpected unless the steps that met NaN, and no others, were left out."""
        lines = "".join(line for training in trainings for line in training.lines)
        found = sorted({int(step) for step in _LEFT_OUT.findall(lines)})
        if found != [*self.nan_steps]:
            message = f"found steps {found} left out; expected {[*self.nan_steps]}"
            raise trainings[-1].unexpected(message)


class Outcome(NamedTuple):
    """A fault, where it happened, what was seen, and the steps that had to be taken again."""

    moment: Moment
    step: int  # that began last
    seconds: float  # since the start of the process
    seen: Seen
    lost: int


class FaultyRun:
    """A run whose training meets faults, and is resumed after each.

    Args:
        runs: Its settings.
        folder: Its folder, in one of a small disk.
        draw: Draws what is left to chance.
    """

    def __init__(self, runs: Runs, folder: Path, draw: random.Random) -> None:
        self.runs, self.folder = runs, folder
        self.place = Place(runs.manifest.parent, folder.parent, lambda: runs.start(folder), draw)
        self.trainings: list[Training] = []

    def train(self, plan: Sequence[Moment]) -> Iterator[Outcome]:
        """Trains until the end of the last epoch; yields what each fault did.

        Faults that took no effect are tried twice more, while the run lasts.
        """
        more = [Moment(fault, step=0, delay=0.0) for fault in FAULTS] * 2
        done: set[str] = set()
        try:
            for number, moment in enumerate([*plan, *more]):
                if self._is_finished() or (number >= len(plan) and moment.fault in done):
                    continue
                if (outcome := self._meet(moment)) is not None:
                    done |= {moment.fault} if outcome.seen.took_effect else set()
                    yield outcome
            if not self._is_finished():
                self.runs.finish(self._running())
            self.runs.check_nan(self.trainings)
        finally:
            for training in self.trainings:
                training.close()

    def _is_finished(self) -> bool:
        return bool(self.trainings) and self.trainings[-1].status() == 0

    def _running(self) -> Training:
        if not self.trainings or not self.trainings[-1].runs():
            for training in self.trainings[:-1]:  # the last one's processes may take a moment
                training.close()
            self.trainings.append(self.runs.start(self.folder))
        return self.trainings[-1]

    def _meet(self, moment: Moment) -> Outcome | None:
        """Waits for a moment, and injects its fault; None if the moment does not come."""
        is_new = not self.trainings or not self.trainings[-1].runs()
        training = self._running()
        if moment.step is not None:
            training.wait_for_step(moment.step)
        elif not is_new:
            return None
        training.wait_for_seconds(moment.delay, moment.latest)
        if not training.runs():
            self.runs.finish(training)
            return None
        step, seconds, before = training.step(), training.seconds(), len(training.begun)
        seen = FAULTS[moment.fault](training, self.place)
        more, most = len(training.begun) - before, EPOCHS_AFTER.get(moment.fault, 0)
        if not training.runs() and more > 1 + STEPS_PER_EPOCH * most:
            expected = f"expected at most one and those of {most} epochs"
            raise training.unexpected(f"found {more} steps after {seen.fault}; {expected}")
        lost = 0 if training.runs() else max(0, training.step() - self._saved_step())
        return Outcome(moment, step, seconds, seen, lost)

    def _saved_step(self) -> int:
        """Returns the number of steps in the last checkpoint."""
        if not (self.folder / "last").exists():
            return 0
        return read_json(checkpoint_folder(self.folder / "last") / "training.json")["step"]
