"""SIGTERM and Ctrl-C end a training after a step, with a checkpoint."""

import signal
import sys
from dataclasses import replace

import pytest

from slt_fast.checkpoint import checkpoint_folder
from slt_fast.files import read_json
from slt_fast.training.loop import train
from slt_fast.training.stopping import noting_signals
from slt_fast.training.trainer import Trainer
from tests.training.test_ranks import losses, weights


@pytest.fixture(autouse=True)
def handlers():
    """Those of the commands; afterwards the ones before, which in workers of pytest are others."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "ends", "breaks_off"),
    [
        (signal.SIGTERM, SystemExit, False),
        (signal.SIGINT, KeyboardInterrupt, False),
        (signal.SIGTERM, SystemExit, True),
    ],
)
def test_resumes_where_it_stopped(
    tiny_recipe, run, monkeypatch, number: int, ends: type[BaseException], breaks_off: bool
) -> None:
    """In the middle of an epoch; also if the signal's end of the loader breaks a step off."""
    unbroken = replace(run, output=run.output.with_name("unbroken"))
    train(tiny_recipe, unbroken)
    real = Trainer.train_step

    def train_step(self, clips, parts):
        if self.progress.step == 4:
            signal.raise_signal(number)
            if breaks_off:
                self.stepper.statistics.remember()
                self.stepper.statistics.values.fill_(7)
                raise OSError("a loader process was killed")
        return real(self, clips, parts)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", train_step)
        with pytest.raises(ends) as ended:
            train(tiny_recipe, run)
    if number == signal.SIGTERM:
        assert ended.value.code == 143
    progress = read_json(checkpoint_folder(run.output / "last") / "training.json")
    expected = (1, 1, 4) if breaks_off else (1, 2, 5)
    assert (progress["epoch"], progress["batch"], progress["step"]) == expected
    assert not (run.output / "training.lock").exists()
    train(tiny_recipe, replace(run, resume=True))
    others = weights(unbroken)
    assert all((value == others[name]).all() for name, value in weights(run).items())
    assert losses(run) == losses(unbroken)


def test_the_second_signal_acts_at_once() -> None:
    with noting_signals() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)
    with noting_signals() as stop:
        pass
    assert stop.signal is None and signal.getsignal(signal.SIGINT) is before
