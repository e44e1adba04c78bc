import errno
import json
import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from slt_fast.training.log import RunLog
from slt_fast.training.losses import Counts
from slt_fast.training.step import StepResult


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow, so that writing fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN  # as Python starts
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def log_step(log: RunLog, step: int, text: float) -> None:
    """Logs a step, whose number counts from 1 on the screen."""
    result = StepResult(step - 1, (), {"text": text, "ctc": 4.0}, Counts(1, 2), 9, 0.5, 1e-3)
    log.step(result, frames_a_second=100.0)


def test_curves_of_a_run_and_of_its_resumption(tmp_path: Path) -> None:
    first = RunLog(tmp_path)
    log_step(first, 1, text=2.5)
    log_step(first, 2, text=1.5)
    record = {"epoch": 1, "step": 2, "dev.bleu4": 7.0, "frames_a_second": 100.0}
    first.epoch(record, left="a minute")
    first.examples("| said |", np.full((4, 5, 3), 200, np.uint8), 2)
    log_step(RunLog(tmp_path), 3, text=0.5)
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    curves = {"train/text", "train/ctc", "dev/bleu4", "frames_a_second"}
    curves |= {f"step/{name}" for name in ("gradient_norm", "learning_rate", "frames_a_second")}
    assert set(found.Tags()["scalars"]) == curves
    curve = found.Scalars("train/text")
    assert [(event.step, event.value) for event in curve] == [(1, 2.5), (2, 1.5), (3, 0.5)]
    assert curve[0].wall_time > 1e9 and found.Scalars("train/ctc")[0].value == 2
    (said,) = found.Tensors("dev/translations/text_summary")
    assert (said.step, said.tensor_proto.string_val) == (2, [b"| said |"])
    (picture,) = found.Images("dev/attention")
    assert (picture.height, picture.width) == (4, 5)
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == record


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_full_disk_names_the_file_of_the_curves(tmp_path: Path, has_begun: bool) -> None:
    """And no thread ends with a traceback instead."""
    log, threads = RunLog(tmp_path), threading.enumerate()
    if has_begun:
        log_step(log, 1, text=2.5)
    with full_disk(), pytest.raises(OSError, match=r"tensorboard/events\.out") as raised:
        log_step(log, 2, text=1.5)
    assert raised.value.errno == errno.EFBIG
    assert threading.enumerate() == threads


def test_a_full_disk_names_the_scores(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(OSError, match=r"metrics\.jsonl") as raised:
        RunLog(tmp_path).epoch({"epoch": 1, "step": 2}, left="a minute")
    assert raised.value.strerror == os.strerror(errno.EFBIG)
