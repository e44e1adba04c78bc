"""What training takes, measured on short steps, against the bytes of whole steps."""

from dataclasses import replace

import pytest
import torch

from slt_fast.data.batching import BatchMaker, Reading, Vocabularies, batches
from slt_fast.data.flow_images import Frames
from slt_fast.data.loading import ClipDataset
from slt_fast.data.sources import read_split
from slt_fast.device import choose_device
from slt_fast.recipe import RECIPES, Recipe
from slt_fast.training.live_tensors import LiveTensors
from slt_fast.training.memory import IMAGES_IN_THE_MAKING, Costs, measure_costs
from slt_fast.training.run import RunConfig
from slt_fast.training.trainer import Trainer

LENGTHS = [90, 40, 62, 25]


@pytest.fixture
def train_set(run) -> ClipDataset:
    clips = read_split(run.data, "train")[: len(LENGTHS)]
    return ClipDataset(clips, [torch.rand(T, 3, 32, 32).half() for T in LENGTHS])


def recipe_of(recipe: Recipe, memory: str, **settings) -> Recipe:
    """The recipe with all frames, and with tensors that are large beside those of no frame."""
    model = replace(recipe.model, memory=memory)
    training = replace(recipe.training, **settings)
    return replace(
        recipe,
        model=model,
        training=training,
        augmentation=replace(recipe.augmentation, frame_dropout=0.0),
    )


def measured(recipe: Recipe, run: RunConfig, train_set: ClipDataset, parts: list[list[int]]) -> int:
    """The most bytes that are alive in the second step of these parts, with the model."""
    trainer = Trainer(recipe, run, train_set, None)
    network, optimizer = trainer.trained.network, trainer.stepper.optimizer
    clips = [train_set.clips[number] for part in parts for number in part]
    trainer.train_step(clips, batches(train_set, trainer.maker, parts))
    optimizer.zero_grad(set_to_none=True)
    moments = [state[name] for state in optimizer.state.values() for name in state]
    known = [*network.parameters(), *network.buffers(), *moments]
    with LiveTensors(known) as live:
        trainer.train_step(clips, batches(train_set, trainer.maker, parts))
    return sum(tensor.nbytes for tensor in known) + live.peak


def costs_of(recipe: Recipe, train_set: ClipDataset) -> Costs:
    words = Vocabularies.build(train_set.clips)
    longest = max(len(words.encode_text(clip.text)) for clip in train_set.clips)
    return measure_costs(recipe, words, longest, choose_device("cpu"))


@pytest.mark.parametrize(
    ("precision", "memory", "frames_per_chunk"),
    [
        ("float32", "frame", 8),
        ("float32", "pixel", 1000),
        ("bfloat16", "frame", 1000),
        ("bfloat16", "pixel", 8),
    ],
)
def test_costs_are_those_of_whole_steps(
    tiny_recipe, run, train_set, precision: str, memory: str, frames_per_chunk: int
) -> None:
    settings = {"precision": precision, "frames_per_chunk": frames_per_chunk}
    recipe = recipe_of(tiny_recipe, memory, **settings)
    costs = costs_of(recipe, train_set)
    for part in ([0], [0, 1, 2, 3]):
        estimate = costs.at_once([LENGTHS[number] for number in part], frames_per_chunk)
        found = measured(recipe, run, train_set, [part])
        assert 0.7 * estimate < found < 1.01 * estimate


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("memory", ["frame", "pixel"])
def test_costs_at_full_size(memory: str, precision: str) -> None:
    """475 frames within 3 GB (bfloat16: 2), growing by at most 1.5 MB a frame."""
    recipe = recipe_of(RECIPES["fast"], memory, precision=precision)
    costs = costs_of(recipe, ClipDataset(read_split("synthetic", "dev")))
    assert costs.image == 4 * 3 * 224**2
    assert costs.image < costs.image + costs.row < 1.5e6
    limit = {"float32": 3e9, "bfloat16": 2e9}[precision]
    assert costs.activations > limit / 475  # without chunks 475 frames need more
    for frames_per_chunk in (16, 32, 64):
        assert costs.at_once([475], frames_per_chunk) - costs.model < limit


@pytest.mark.parametrize("kind", ["flow", "frames"])
def test_images_in_the_making(tiny_recipe, train_set, kind: str) -> None:
    T, clip = 60, train_set.clips[0]
    steps = torch.ones(T, dtype=torch.int64)
    read = {
        "flow": torch.zeros(T, 2, 32, 32).half(),
        "frames": Frames(torch.zeros(T, 32, 32, 3, dtype=torch.uint8), steps),
    }[kind]
    recipe = recipe_of(tiny_recipe, "frame")
    maker = BatchMaker(Vocabularies.build([]), recipe.input, recipe.augmentation)
    with LiveTensors() as live:
        assert len(maker([Reading(clip, read, (0, 0))]).images) == T
    assert 2 < live.peak / (T * 4 * 3 * 32**2) < IMAGES_IN_THE_MAKING
