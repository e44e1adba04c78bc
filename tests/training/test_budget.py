"""What is computed at once, chosen by a memory budget."""

import logging
from dataclasses import replace

import pytest
import torch

from slt_fast.checkpoint import load_model
from slt_fast.data.loading import ClipDataset
from slt_fast.data.sources import read_split
from slt_fast.errors import UserError
from slt_fast.recipe import Recipe, TrainingConfig
from slt_fast.training import budget
from slt_fast.training.budget import Needs, within_budget
from slt_fast.training.loop import train
from slt_fast.training.memory import Costs, measure_costs
from slt_fast.training.steps import Steps
from tests.training.test_memory import measured, recipe_of
from tests.training.test_ranks import train_together

OPTIONS = {"frames_per_chunk", "frames_at_once"}
LENGTHS = [90, 40, 62, 25, 7]


@pytest.fixture
def train_set(run) -> ClipDataset:
    clips = read_split(run.data, "train")
    return ClipDataset(clips, [torch.rand(T, 3, 32, 32).half() for T in LENGTHS])


@pytest.fixture
def recipe(tiny_recipe) -> Recipe:
    return recipe_of(tiny_recipe, "frame", batch_size=3, precision="float32")


@pytest.fixture
def only_tensors(monkeypatch) -> None:
    """Leaves out the program, beside which the tensors of small images are nothing."""
    monkeypatch.setattr(budget, "_PROGRAM", 0)


@pytest.fixture(autouse=True)
def measured_once(monkeypatch) -> None:
    costs: dict[Recipe, Costs] = {}

    def measure(recipe: Recipe, *arguments) -> Costs:
        key = replace(recipe, training=TrainingConfig(precision=recipe.training.precision))
        return costs.get(key) or costs.setdefault(key, measure_costs(recipe, *arguments))

    monkeypatch.setattr(budget, "measure_costs", measure)


def divided(recipe: Recipe, frames: int) -> TrainingConfig:
    return replace(recipe.training, frames_per_chunk=frames, frames_at_once=frames)


@pytest.mark.parametrize("memory", ["frame", "pixel"])
def test_steps_stay_within_budgets_and_use_them(
    only_tensors, recipe, run, train_set, memory: str
) -> None:
    recipe = recipe_of(recipe, memory)
    needs = Needs.of_run(recipe, train_set, 1)
    most = -(-needs.largest_step() // 8) * 8
    for frames in (8, 24, 56, most):
        limit = needs.of(divided(recipe, frames)).num_bytes + 999
        run = replace(run, memory_budget=f"{limit // 1000}kB")
        chosen = within_budget(recipe, run, train_set)
        largest = chosen.training.frames_per_chunk
        assert frames <= largest <= most and chosen.training == divided(recipe, largest)
        assert largest == most or needs.of(divided(recipe, largest + 8)).num_bytes > limit
        parts = Steps(LENGTHS, chosen.training).parts([1, 2, 0])
        assert 0.6 * limit < measured(chosen, run, train_set, parts) <= limit, chosen


def test_what_the_recipe_has_is_kept(only_tensors, recipe, run, train_set) -> None:
    needs = Needs.of_run(recipe, train_set, 1)
    limit = needs.of(divided(recipe, 56)).num_bytes
    run = replace(run, memory_budget=f"{limit // 1000 + 1}kB")
    for given in ({"frames_per_chunk": 16}, {"frames_at_once": 30}):
        chosen = within_budget(recipe_of(recipe, "frame", **given), run, train_set).training
        (other,) = OPTIONS - given.keys()
        assert getattr(chosen, other) >= 56 and given.items() <= vars(chosen).items()
    with pytest.raises(UserError, match="frames-per-chunk 80 --frames-at-once 8 .*expected at mo"):
        within_budget(recipe_of(recipe, "frame", frames_per_chunk=80), run, train_set)


def test_clips_that_cannot_fit_are_named(recipe, run, train_set) -> None:
    run = replace(run, memory_budget="1GB")
    found = r"clips clip0: found 90 frames at once, which need 1.0\d GB with --frames-per-chunk 8 "
    with pytest.raises(UserError, match=found + ".* at most the --memory-budget of 1 GB"):
        within_budget(recipe, run, train_set)


def test_more_processes_need_less(recipe, run, train_set) -> None:
    alone, two = (Needs.of_run(recipe, train_set, number) for number in (1, 2))
    assert two.largest_step() < alone.largest_step()
    assert sorted(sum(alone.shares, [])) == sorted(sum(two.shares, []))


def test_a_run_keeps_what_was_chosen(recipe, run, caplog) -> None:
    caplog.set_level(logging.INFO)
    run = replace(run, memory_budget="1.1GB")
    recipe = replace(recipe, training=replace(recipe.training, epochs=1))
    train(recipe, run)
    assert "memory budget of 1.1 GB: at most " in caplog.text
    chosen = load_model(run.output / "last").recipe
    frames = chosen.training.frames_per_chunk
    assert frames > 8 and chosen == replace(recipe, training=divided(recipe, frames))
    longer = replace(chosen, training=replace(chosen.training, epochs=2))
    train(longer, replace(run, resume=True))
    assert load_model(run.output / "last").recipe == longer
    with pytest.raises(UserError, match="expected at most the --memory-budget of 1 GB"):
        train(longer, replace(run, resume=True, memory_budget="1GB"))


@pytest.mark.slow
def test_two_processes_choose_the_same(recipe, run) -> None:
    training = replace(recipe.training, epochs=1, preload=False, num_workers=0)
    run = replace(run, memory_budget="1.1GB")
    assert train_together(replace(recipe, training=training), run) == [0, 0]
    chosen = load_model(run.output / "last").recipe.training
    assert chosen.frames_per_chunk == chosen.frames_at_once > 8
