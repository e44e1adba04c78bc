"""One training step of the quickstart: forward, losses, backward and AdamW on 4 clips."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest

from benchmarks import comparison
from benchmarks.timing import run_calls
from slt_fast.data.batching import BatchMaker, Vocabularies, batches
from slt_fast.data.loading import ClipDataset, load_images
from slt_fast.data.sources import read_split
from slt_fast.device import choose_device, computes_bfloat16
from slt_fast.recipe import RECIPES
from slt_fast.training.run import RunConfig
from slt_fast.training.trainer import Trainer


@pytest.fixture(scope="module")
def dataset() -> ClipDataset:
    """Makes four clips of the synthetic corpus, with images in memory."""
    recipe = RECIPES["quickstart"]
    clips = read_split("synthetic", "train")[: recipe.training.batch_size]
    return ClipDataset(clips, [load_images(clip, recipe.input) for clip in clips])


def make_trainer(dataset: ClipDataset, folder: Path, *, dropout: float, **settings) -> Trainer:
    recipe = RECIPES["quickstart"]
    training = dataclasses.replace(recipe.training, schedule="constant", **settings)
    model = dataclasses.replace(recipe.model, dropout=dropout)
    recipe = dataclasses.replace(recipe, model=model, training=training)
    return Trainer(recipe, RunConfig(output=folder), dataset, None)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_step(benchmark, dataset: ClipDataset, tmp_path: Path, precision: str) -> None:
    device = choose_device()
    if precision == "bfloat16" and not computes_bfloat16(device):
        pytest.skip(f"{device} does not compute in bfloat16")
    maker = BatchMaker(Vocabularies.build(dataset.clips), RECIPES["quickstart"].input)
    batch = next(batches(dataset, maker, [list(range(len(dataset)))]))
    # Without dropout, whose masks no two devices share.
    checked = functools.partial(make_trainer, dataset, dropout=0.0)
    given = (dataset.clips, [batch])
    exact = checked(tmp_path / "exact", precision="float32", device="cpu").train_step(*given)
    losses = checked(tmp_path / "checked", precision=precision).train_step(*given)
    tolerance = {"float32": 1e-3, "bfloat16": 0.05}[precision]
    assert losses == pytest.approx(exact, rel=tolerance)  # no time for a wrong step
    trainer = make_trainer(dataset, tmp_path / "timed", dropout=0.1, precision=precision)
    times: list[float] = []

    def step() -> None:
        times.append(run_calls(iter([lambda: trainer.train_step(*given)]), 1, device))

    benchmark.pedantic(step, rounds=10, warmup_rounds=2)
    after = trainer.train_step(*given)
    assert sum(after.values()) < sum(losses.values())  # it does learn
    seconds, frames = np.array(times[-10:]), len(batch.images)
    facts = {"recipe": "quickstart", "device": device.type, "precision": precision}
    facts |= {"frames": str(frames), "frames a second": f"{frames / np.median(seconds):.0f}"}
    comparison.add_row(benchmark, comparison.Row("training_step", facts, seconds))
