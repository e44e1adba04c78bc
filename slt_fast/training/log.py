"""Logs a run to metrics.jsonl, TensorBoard and the screen."""

import functools
import json
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import image, scalar, text

from slt_fast.files import naming, replacing
from slt_fast.training.step import StepResult

logger = logging.getLogger(__name__)

_SHOWN = (
    *("train.ctc", "dev.ctc", "train.text", "dev.text"),
    *("dev.bleu4", "dev.wer", "dev.exact_match"),
)


class EventFile:
    """A new file for TensorBoard.

    SummaryWriter writes in a thread, which ends with a traceback if the disk is full.

    Args:
        folder: Folder of the file; made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        machine, process = socket.gethostname(), os.getpid()
        self._path = folder / f"events.out.tfevents.{int(time.time())}.{machine}.{process}"
        self._file = open(self._path, "ab")  # noqa: SIM115  # as long as the run goes on
        self._writer = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, shown: Iterable[Summary], step: int) -> None:
        """Adds what TensorBoard shall show of a step.

        Raises:
            OSError: The file cannot be written.
        """
        events = (Event(wall_time=time.time(), step=step, summary=each) for each in shown)
        self._write(*events)

    def _write(self, *events: Event) -> None:
        with naming(self._path):
            for event in events:
                self._writer.write(event.SerializeToString())
            self._writer.flush()


class RunLog:
    """Logs the figures of one run to its folder, which need not exist before the first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @functools.cached_property
    def _events(self) -> EventFile:
        return EventFile(self.folder / "tensorboard")

    def step(self, result: StepResult, frames_a_second: float) -> None:
        """Logs one training step, for TensorBoard only."""
        values = {f"train/{name}": value for name, value in result.means().items()}
        values |= {"step/gradient_norm": result.norm, "step/learning_rate": result.learning_rate}
        values["step/frames_a_second"] = frames_a_second
        if torch.cuda.is_initialized():
            values["step/memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        self._events.add(_scalars(values), result.step + 1)

    def examples(self, translations: str, picture: np.ndarray | None, step: int) -> None:
        """Logs translations (Markdown) and a picture, uint8 [H, W, 3], for TensorBoard only."""
        shown = [text("dev/translations", translations)]
        if picture is not None:
            shown.append(image("dev/attention", picture, dataformats="HWC"))
        self._events.add(shown, step)

    def keep_epochs(self, epochs: int) -> None:
        """Drops lines past so many epochs, and a line that was not finished; keeps all others."""
        path = self.folder / "metrics.jsonl"
        if not path.is_file():
            return
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith(b"\n") and _epoch_of(line) <= epochs]
        if kept != lines:
            with replacing(path) as temporary:
                temporary.write_bytes(b"".join(kept))

    def epoch(self, record: dict[str, Any], left: str) -> None:
        """Logs losses and scores of an epoch, with its number and the steps so far.

        Args:
            record: The line of metrics.jsonl.
            left: Time that the training takes yet, for the screen.
        """
        path = self.folder / "metrics.jsonl"
        with naming(path), open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        floats = {name: value for name, value in record.items() if isinstance(value, float)}
        named = {name.replace(".", "/", 1): value for name, value in floats.items()}
        self._events.add(_scalars(named), record["step"])
        shown = [f"{name} {record[name]:.2f}" for name in _SHOWN if name in record]
        if "frames_a_second" in record:
            shown.append(f"{record['frames_a_second']:.0f} frames/s")
        logger.info("epoch %d: %s, %s left", record["epoch"], ", ".join(shown), left)


def _scalars(values: Mapping[str, float]) -> Iterator[Summary]:
    """Returns a point of each of some curves."""
    return (scalar(name, value) for name, value in values.items())


def _epoch_of(line: bytes) -> float:
    """Returns the epoch of a line of metrics.jsonl; 0 if it is not one of ours."""
    try:
        epoch = json.loads(line)["epoch"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0
    return epoch if isinstance(epoch, int | float) else 0
