"""The faults: each is injected, its end compared with docs/reliability.md, and then undone."""

import os
import random
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fault_injection.clips import damage_clip
from fault_injection.disk import filled
from fault_injection.training import Training


@dataclass(frozen=True)
class Place:
    """Where the faults happen.

    Args:
        clips: Folder of the data set.
        disk: Folder of a small file system, with that of the run in it.
        start_again: Starts another training into the run's folder.
        draw: Draws what is left to chance.
    """

    clips: Path
    disk: Path
    start_again: Callable[[], Training]
    draw: random.Random


@dataclass(frozen=True)
class Seen:
    """What a fault did.

    Args:
        fault: The fault, with what was drawn.
        effect: What was seen of it.
        took_effect: False if the training ended or went on before the fault could matter.
    """

    fault: str
    effect: str
    took_effect: bool = True


Fault = Callable[[Training, Place], Seen]


def kill(training: Training, place: Place) -> Seen:
    """Kills the main process alone, or all processes."""
    to_group = place.draw.random() < 0.5
    training.check_log()  # a loader process that was starting will not find its parent, and say so
    training.send(signal.SIGKILL, to_group=to_group)
    return _end(training, _to("kill -9", to_group), 137)


def terminate(training: Training, place: Place) -> Seen:
    """Sends SIGTERM to the main process alone or, as a job queue may, to all."""
    to_group = place.draw.random() < 0.5
    training.send(signal.SIGTERM, to_group=to_group)
    return _end(training, _to("SIGTERM", to_group), 143)


def corrupt_clip(training: Training, place: Place) -> Seen:
    """Damages a clip until the training has met it."""
    path, damage, restore = damage_clip(place.clips, place.draw)
    try:
        message = rf"{re.escape(str(path))}: found .*; expected .*"
        return _end(training, f"corrupt clip: {path.name} {damage}", 1, message)
    finally:
        restore()


def fill_disk(training: Training, place: Place) -> Seen:
    """Fills the disk until the training has noticed."""
    with filled(place.disk):
        full = "No space left on device"
        message = rf".+: could not write the checkpoint: .*{full}.*|\[Errno 28\] {full}: '.+'"
        return _end(training, "full disk", 1, message)


def kill_loader(training: Training, place: Place) -> Seen:
    """Kills a loader process, which need not matter if it has handed over its last batch."""
    fault = "killed loader process"
    if not (loaders := training.wait_for_loaders()):
        return _end(training, fault, 0)
    with suppress(ProcessLookupError):  # it has just ended by itself
        os.kill(place.draw.choice(loaders), signal.SIGKILL)
    training.wait_for_loaders(others=loaders)
    if training.runs():
        return Seen(fault, "went on: its last batch was handed over", took_effect=False)
    return _end(training, fault, 1, "loader processes: found one killed, .*")


def start_twice(training: Training, place: Place) -> Seen:
    """Starts a second training into the same folder."""
    fault, second = "second training", place.start_again()
    try:
        second.wait(lambda: not training.runs(), "the end of one of two trainings")
        if not training.runs():
            return Seen(fault, "the first one had ended", took_effect=False)
        message = rf".*: found a training by process {training.process} on .*"
        return _end(second, fault, 1, message, may_finish=False)
    finally:
        second.close()


FAULTS: dict[str, Fault] = {
    "kill -9": kill,
    "SIGTERM": terminate,
    "corrupt clip": corrupt_clip,
    "full disk": fill_disk,
    "killed loader": kill_loader,
    "second training": start_twice,
}
# Epochs that a training may go on for before it ends; after a signal it may begin one more step.
EPOCHS_AFTER = {"corrupt clip": 2, "full disk": 1, "killed loader": 1}
# Those that need no loader process and no step: they may also happen while a training starts.
AT_START = ("kill -9", "SIGTERM", "corrupt clip", "full disk")


def _end(
    training: Training,
    fault: str,
    status: int,
    message: str | None = None,
    *,
    may_finish: bool = True,
) -> Seen:
    """Waits for the end of a training; returns what was seen.

    Args:
        training: The training.
        fault: The fault, with what was drawn.
        status: Exit status that is promised.
        message: Regular expression of the only error; None for no error.
        may_finish: Whether it may have finished before.

    Raises:
        Unexpected: It ended in another way.
    """
    found = training.end()
    if found == 0 and may_finish:
        return Seen(fault, "it had finished", took_effect=False)
    errors = [line[len("error: ") :].strip() for line in training.lines if line[:7] == "error: "]
    expected = f"after {fault}: found status {found} and errors {errors}; expected"
    if found != status:
        raise training.unexpected(f"{expected} status {status}")
    if message is None and errors:
        raise training.unexpected(f"{expected} no error")
    if message is not None and not (len(errors) == 1 and re.fullmatch(message, errors[0])):
        raise training.unexpected(f"{expected} one error: {message}")
    if status != 128 + signal.SIGKILL:
        training.check_log()
    return Seen(fault, f"status {status}" + (f", {errors[0]}" if errors else ""))


def _to(signal_name: str, to_group: bool) -> str:
    return f"{signal_name} to {'all processes' if to_group else 'the main process'}"
