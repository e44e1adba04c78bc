import dataclasses

import pytest
import torch
from torch import nn

from slt_fast.data.batching import batches
from slt_fast.model.batch_norm import set_training
from slt_fast.recipe import TrainingConfig
from slt_fast.training.datasets import read_splits
from slt_fast.training.ranks import Ranks
from slt_fast.training.steps import Steps
from slt_fast.training.trainer import Trainer

FRAMES = [30, 200, 45, 120, 60, 475, 16]


def test_steps_of_a_batch_size_are_shuffled_by_epoch_and_seed() -> None:
    steps = Steps(FRAMES, TrainingConfig(batch_size=2, epochs=3))
    epochs = [steps.of_epoch(epoch) for epoch in range(6)]
    for epoch in epochs:
        assert [len(step) for step in epoch] == [2, 2, 2, 1]
        assert sorted(sum(epoch, [])) == list(range(7))
    assert len({str(epoch) for epoch in epochs}) > 3
    assert steps.of_epoch(4) == epochs[4] and steps.total == 12
    assert Steps(FRAMES, TrainingConfig(batch_size=2, seed=1)).of_epoch(0) != epochs[0]


def test_steps_of_frames_and_their_parts() -> None:
    settings = TrainingConfig(frames_per_step=250, frames_at_once=100, epochs=4)
    steps = Steps(FRAMES, settings)
    assert steps.total == sum(len(steps.of_epoch(epoch)) for epoch in range(4))
    for step in steps.of_epoch(1):
        total = sum(FRAMES[clip] for clip in step)
        assert total <= 250 or step == [5]
        for part in steps.parts(step):
            assert sum(FRAMES[clip] for clip in part) <= 100 or len(part) == 1
        assert sum(steps.parts(step), []) == step
    assert Steps(FRAMES, TrainingConfig()).parts([3, 1]) == [[3, 1]]


def make_trainer(recipe, run, **settings) -> Trainer:
    """A trainer whose results do not depend on which clips are computed together."""
    model = dataclasses.replace(recipe.model, dropout=0.0)
    exact = {"label_smoothing": 0.1, "precision": "float32"}
    training = dataclasses.replace(recipe.training, **exact, **settings)
    recipe = dataclasses.replace(recipe, model=model, training=training)
    _, (train_set, *_) = read_splits(recipe, run)
    trainer = Trainer(recipe, run, train_set, None)
    for module in trainer.trained.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return trainer


@pytest.mark.parametrize("frames_at_once", [1, 20])
def test_parts_add_up_to_the_step(tiny_recipe, run, frames_at_once: int) -> None:
    found = []
    for settings in ({}, {"frames_at_once": frames_at_once}):
        trainer = make_trainer(tiny_recipe, run, batch_size=5, **settings)
        parts = trainer.steps.parts(range(5))
        assert len(parts) > 1 or not settings
        clips = trainer.train_set.clips
        losses = trainer.train_step(clips, batches(trainer.train_set, trainer.maker, parts))
        gradients = {n: p.grad for n, p in trainer.trained.network.named_parameters()}
        found.append((losses, gradients))
    (losses, gradients), (divided, sums) = found
    assert divided == pytest.approx(losses, rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(sums[name], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"frames_per_chunk": 8}, {"batch_norm": "frozen"}])
def test_compiled_convolutions_take_the_same_steps(tiny_recipe, run, settings) -> None:
    """Of several shapes; the first also changes the statistics alike."""
    found = []
    for compiled in (False, True):
        torch._dynamo.reset()
        model = dataclasses.replace(tiny_recipe.model, dropout=0.0)
        training = {"precision": "float32", "batch_size": 2, "compile": compiled, **settings}
        recipe = dataclasses.replace(
            tiny_recipe, model=model, training=dataclasses.replace(tiny_recipe.training, **training)
        )
        _, (train_set, *_) = read_splits(recipe, run)
        trainer = Trainer(recipe, run, train_set, None)
        parts = batches(trainer.train_set, trainer.maker, [[0, 1]])
        trainer.train_step(trainer.train_set.clips[:2], parts)
        statistics = trainer.stepper.statistics.values.clone()
        names = [*trainer.trained.network.state_dict()]
        found.append((statistics, names, trainer.train_epoch()))
    (statistics, names, losses), (others, other_names, compiled_losses) = found
    torch.testing.assert_close(others, statistics, rtol=1e-3, atol=1e-5)
    assert other_names == names
    assert compiled_losses == pytest.approx(losses, rel=1e-2)


def test_a_run_of_packed_steps(tiny_recipe, run) -> None:
    settings = {"frames_per_step": 12, "frames_at_once": 6, "preload": False}
    trainer = make_trainer(tiny_recipe, run, **settings)
    losses = trainer.train_epoch()
    assert trainer.progress.step == trainer.progress.batch == len(trainer.steps.of_epoch(0)) > 1
    assert losses.keys() == {"text", "ctc"}


class FiveEqual(Ranks):
    """Five processes that all compute the same."""

    def __init__(self) -> None:
        super().__init__(0, 5)

    def sum(self, *tensors: torch.Tensor) -> None:
        for tensor in tensors:
            once = tensor.clone()
            for _ in range(4):
                tensor += once

    def any(self, *flags: bool) -> tuple[bool, ...]:
        return flags


@pytest.mark.parametrize("batch_norm", ["frozen", "batch"])
def test_frozen_statistics_are_kept_to_the_bit(tiny_recipe, run, batch_norm: str) -> None:
    """The mean of five equal numbers may differ from them by rounding."""
    training = dataclasses.replace(tiny_recipe.training, batch_norm=batch_norm)
    recipe = dataclasses.replace(tiny_recipe, training=training)
    _, (train_set, *_) = read_splits(recipe, run)
    trainer = Trainer(recipe, run, train_set, None, ranks=FiveEqual())
    statistics = trainer.stepper.statistics.values
    statistics.copy_(torch.rand(len(statistics)))
    before = statistics.clone()
    set_training(trainer.trained.network, batch_norm)
    trainer.train_step(train_set.clips[:2], batches(train_set, trainer.maker, [[0, 1]]))
    assert torch.equal(statistics, before) == (batch_norm == "frozen")
