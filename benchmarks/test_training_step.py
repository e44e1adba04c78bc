"""One training step against the plain path: forward, losses, backward, AdamW; fp32 and bfloat16.

The plain path is eager PyTorch, NCHW, the plain formula of the operators (plain_training.py).
Shares of our step are those of ResNet18, the attention layer and the decoder, each timed alone.
"""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import comparison
from benchmarks.plain_training import PlainTraining
from benchmarks.timing import run_calls
from slt_fast.data.batching import Batch, BatchMaker, Vocabularies, batches
from slt_fast.data.loading import ClipDataset, load_images
from slt_fast.data.sources import read_split
from slt_fast.device import autocast, choose_device, computes_bfloat16
from slt_fast.recipe import RECIPES, Recipe
from slt_fast.training.run import RunConfig
from slt_fast.training.trainer import Trainer

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05}
# Recipe, clips and frames of each clip; a GPU is given a step that fills it.
SIZES = {"cpu": (("quickstart", 4, 24), ("fast", 2, 8)), "cuda": (("fast", 12, 100),)}
CASES = [
    (*size, precision) for size in SIZES[comparison.DEVICE] for precision in ("float32", "bfloat16")
]


@dataclass(frozen=True)
class Step:
    """A step to take: its recipe, without dropout, and its clips with their batch."""

    recipe: Recipe
    dataset: ClipDataset
    batch: Batch

    def trainer(self, folder: Path) -> Trainer:
        return Trainer(self.recipe, RunConfig(output=folder), self.dataset, None)

    def plain(self, device: torch.device) -> PlainTraining:
        return PlainTraining(self.recipe, Vocabularies.build(self.dataset.clips), device)


@functools.lru_cache(maxsize=1)
def images(recipe: str, clips: int, frames: int) -> ClipDataset:
    """Makes clips of the synthetic corpus, shown again and again until they are long enough."""
    found, config = read_split("synthetic", "train")[:clips], RECIPES[recipe].input
    made = [load_images(clip, config) for clip in found]
    return ClipDataset(found, [each[torch.arange(frames) % len(each)] for each in made])


def step_of(name: str, clips: int, frames: int, precision: str) -> Step:
    recipe = RECIPES[name]
    # Without dropouts, whose choices no two paths share; ImageNet's weights take as long as others.
    model = replace(recipe.model, dropout=0.0, backbone_weights="none")
    settings = {"schedule": "constant", "precision": precision, "gradient_dropout": 0.0}
    training = replace(recipe.training, preload=True, **settings)
    recipe = replace(recipe, model=model, training=training)
    dataset = images(name, clips, frames)
    maker = BatchMaker(Vocabularies.build(dataset.clips), recipe.input)
    return Step(recipe, dataset, next(batches(dataset, maker, [range(clips)])))


def shares(trainer: Trainer, step: Step, whole: float) -> str:
    """Returns the shares of ResNet18, attention layer and decoder in a step of some seconds.

    Each is timed alone, forward and backward, with the inputs that it had in a step.
    """
    network = trainer.trained.network
    modules = (network.encoder.backbone, network.encoder.layer, network.decoder)
    given: dict[nn.Module, tuple] = {}

    def keep(module: nn.Module, inputs: tuple) -> None:
        given[module] = tuple(
            x.detach().requires_grad_(x.is_floating_point() and module is not modules[0])
            for x in inputs
        )

    handles = [module.register_forward_pre_hook(keep) for module in modules]
    trainer.train_step(step.dataset.clips, [step.batch])
    for handle in handles:
        handle.remove()
    parts = [seconds_alone(each, given[each], trainer) / whole for each in modules]
    return " / ".join(f"{part:.0%}" for part in parts)


def seconds_alone(module: nn.Module, inputs: tuple, trainer: Trainer) -> float:
    """Times a module's forward and backward pass, the best of four."""
    gradient: torch.Tensor | None = None

    def call() -> None:
        nonlocal gradient
        with autocast(trainer.device, trainer.recipe.training.precision):
            y = module(*inputs)
        gradient = torch.randn_like(y) if gradient is None else gradient
        y.backward(gradient)

    return min(run_calls(iter([call]), 1, trainer.device) for _ in range(4))


@pytest.mark.parametrize(("name", "clips", "frames", "precision"), CASES)
def test_training_step(benchmark, tmp_path: Path, name, clips, frames, precision) -> None:
    device = choose_device()
    if precision == "bfloat16" and not computes_bfloat16(device):
        pytest.skip(f"{device} does not compute in bfloat16")
    step = step_of(name, clips, frames, precision)
    trainer, plain = step.trainer(tmp_path), step.plain(device)
    plain.network.load_state_dict(trainer.trained.network.state_dict())

    def take() -> dict[str, float]:
        return trainer.train_step(step.dataset.clips, [step.batch])

    def ours() -> dict[str, float]:
        losses = take()
        if not losses:  # a GPU tells them now and then
            losses = trainer.stepper.results(at_once=True)[-1].means()
        return losses

    for _ in range(2):  # no time for a wrong step; the second also sees what the first learned
        assert ours() == pytest.approx(plain.train_step(step.batch), rel=TOLERANCE[precision])
    both = (
        lambda: run_calls(iter([take]), 1, device),
        lambda: run_calls(iter([lambda: plain.train_step(step.batch)]), 1, device),
    )
    pairs = {"quickstart": 15, "fast": 7}[name]
    samples = comparison.in_turns(benchmark, *both, num_pairs=pairs)
    best, number = float(samples[:, 0].min()), clips * frames
    facts = {"recipe": name, "device": device.type, "precision": precision}
    size = step.recipe.input.image_size
    facts |= {"frames": f"{number} of {size}x{size}"}
    facts |= {"frames/s": f"{number / np.median(samples[:, 0]):.0f}"}
    facts |= {"backbone / layer / decoder": shares(trainer, step, best)}
    comparison.add_row(benchmark, comparison.Row("training_step", facts, *samples.T))
