"""SIGTERM and Ctrl-C end a training after a step, with a checkpoint."""

import signal
import sys
from dataclasses import replace

import pytest

from slt_fast.checkpoint import checkpoint_folder
from slt_fast.files import read_json
from slt_fast.training import evaluation
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


def train_twice(recipe, run, monkeypatch, name: str, disturbed) -> tuple[int, int]:
    """Trains unbroken, and with a method of Trainer replaced; returns the status and the steps.

    The second run is then resumed, and equals the first one.
    """
    unbroken = replace(run, output=run.output.with_name("unbroken"))
    train(recipe, unbroken)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, name, disturbed)
        with pytest.raises(SystemExit) as ended:
            train(recipe, run)
    steps = read_json(checkpoint_folder(run.output / "last") / "training.json")["step"]
    train(recipe, replace(run, resume=True))
    others = weights(unbroken)
    different = [name for name, value in weights(run).items() if (value != others[name]).any()]
    assert not different and losses(run) == losses(unbroken)
    return ended.value.code, steps


def test_a_step_broken_off_between_its_parts(tiny_recipe, run, monkeypatch) -> None:
    training = replace(tiny_recipe.training, frames_at_once=1)
    recipe, real = replace(tiny_recipe, training=training), Trainer.train_step

    def parts_of(parts):
        yield next(iter(parts))
        signal.raise_signal(signal.SIGTERM)
        raise OSError("a loader process was killed")

    def disturbed(self, clips, parts):
        return real(self, clips, parts_of(parts) if self.progress.step == 4 else parts)

    assert train_twice(recipe, run, monkeypatch, "train_step", disturbed) == (143, 4)


@pytest.mark.parametrize("breaks_off", [False, True])
def test_a_signal_while_dev_is_scored(tiny_recipe, run, monkeypatch, breaks_off: bool) -> None:
    """Wherever an exception would be lost, as in a finaliser; also if loader processes end."""
    real = evaluation.translate_batch

    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def translate_batch(*arguments, **options):
        Finalised()
        if breaks_off:
            raise OSError("a loader process was killed")
        return real(*arguments, **options)

    def disturbed(self, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(evaluation, "translate_batch", translate_batch)
            return finish_epoch(self, *arguments)

    finish_epoch = Trainer.finish_epoch
    assert train_twice(tiny_recipe, run, monkeypatch, "finish_epoch", disturbed) == (143, 3)


@pytest.mark.parametrize(("place", "steps"), [("save", 3), ("finish_epoch", 4)])
def test_a_signal_between_two_epochs(tiny_recipe, run, monkeypatch, place: str, steps: int) -> None:
    """After the checkpoint of an epoch it ends the training; a moment later after one more step."""
    real, once = getattr(Trainer, place), iter([True])

    def disturbed(self, *arguments):
        real(self, *arguments)
        if self.progress.epoch == 1 and next(once, False):
            signal.raise_signal(signal.SIGTERM)

    assert train_twice(tiny_recipe, run, monkeypatch, place, disturbed) == (143, steps)


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
