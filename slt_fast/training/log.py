"""Logs a run to metrics.jsonl, TensorBoard and the screen."""

import functools
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from slt_fast.files import replacing
from slt_fast.training.step import StepResult

logger = logging.getLogger(__name__)

_SHOWN = (
    *("train.ctc", "dev.ctc", "train.text", "dev.text"),
    *("dev.bleu4", "dev.wer", "dev.exact_match"),
)


class RunLog:
    """Logs the figures of one run to its folder, which need not exist before the first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @functools.cached_property
    def _writer(self) -> SummaryWriter:
        return SummaryWriter(self.folder / "tensorboard")

    def step(self, result: StepResult, frames_a_second: float) -> None:
        """Logs one training step, for TensorBoard only."""
        values = {f"train/{name}": value for name, value in result.means().items()}
        values |= {"step/gradient_norm": result.norm, "step/learning_rate": result.learning_rate}
        values["step/frames_a_second"] = frames_a_second
        if torch.cuda.is_initialized():
            values["step/memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        for name, value in values.items():
            self._writer.add_scalar(name, value, result.step + 1)

    def examples(self, translations: str, picture: np.ndarray | None, step: int) -> None:
        """Logs translations (Markdown) and a picture, uint8 [H, W, 3], for TensorBoard only."""
        self._writer.add_text("dev/translations", translations, step)
        if picture is not None:
            self._writer.add_image("dev/attention", picture, step, dataformats="HWC")

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
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        for name, value in record.items():
            if isinstance(value, float):
                self._writer.add_scalar(name.replace(".", "/", 1), value, record["step"])
        self._writer.flush()
        shown = [f"{name} {record[name]:.2f}" for name in _SHOWN if name in record]
        pace = f"{record['frames_a_second']:.0f} frames/s, {left} left"
        logger.info("epoch %d: %s", record["epoch"], ", ".join([*shown, pace]))


def _epoch_of(line: bytes) -> float:
    """Returns the epoch of a line of metrics.jsonl; 0 if it is not one of ours."""
    try:
        epoch = json.loads(line)["epoch"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0
    return epoch if isinstance(epoch, int | float) else 0
