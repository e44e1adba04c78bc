"""The full-size model on real PHOENIX sentences, signed by the drawn signer at 210x260 pixels."""

from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch

from slt_fast.data.batching import batches
from slt_fast.data.datasets.phoenix14t import FRAMES_FOLDER, HEADER, read_annotations
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.recipe import RECIPES, Recipe
from slt_fast.training.datasets import read_splits
from slt_fast.training.run import RunConfig
from slt_fast.training.trainer import Trainer

MANUAL = Path("annotations", "manual")
NUM_CLIPS = {"train": 20, "dev": 1, "test": 1}


@pytest.fixture(scope="module")
def release(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of the release, with the first clips of each split."""
    root = tmp_path_factory.mktemp("PHOENIX-2014-T")
    (root / MANUAL).mkdir(parents=True)
    for split, number in NUM_CLIPS.items():
        name = f"PHOENIX-2014-T.{split}.corpus.csv"
        path = shared_data / "phoenix14t" / MANUAL / name
        lines = path.read_text(encoding="utf-8").splitlines()[: number + 1]
        assert lines[0] == "|".join(HEADER)
        (root / MANUAL / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for index, annotation in enumerate(read_annotations(root / MANUAL / name)):
            render(root / FRAMES_FOLDER / split / annotation.name, annotation.glosses, index)
    return root


def render(folder: Path, glosses: tuple[str, ...], number: int) -> None:
    folder.mkdir(parents=True)
    source = SyntheticSource("", glosses, "statement", number % 2, (0, number), (260, 210))
    for index, frame in enumerate(source.frames(), start=1):
        cv2.imwrite(str(folder / f"images{index:04d}.png"), frame[..., ::-1])


def make_trainer(release: Path, output: Path, backend: str) -> Trainer:
    """The recipe "fast" at full size, without what two backends do not share: dropout."""
    recipe: Recipe = RECIPES["fast"]
    model = replace(recipe.model, backbone_weights="none", dropout=0.0, backend=backend)
    training = replace(
        recipe.training,
        frames_per_step=64,
        frames_per_chunk=16,
        precision="float32",
        num_workers=0,
        schedule="constant",
    )
    recipe = replace(recipe, model=model, training=training)
    run = RunConfig(data=f"phoenix14t:{release}", output=output)
    _, (train_set, *_) = read_splits(recipe, run)
    return Trainer(recipe, run, train_set, None)


@pytest.mark.slow
def test_backends_agree_and_it_learns(release: Path, tmp_path: Path) -> None:
    plain, ours = (make_trainer(release, tmp_path / name, name) for name in ("reference", "auto"))
    dataset, steps = ours.train_set, ours.steps.of_epoch(0)
    assert len(dataset) == 20 and sorted(sum(steps, [])) == list(range(20))
    assert ours.trained.network.encoder.backbone.channels == 512
    assert ours.trained.recipe.input.image_size == 224
    first = [dataset.clips[index] for index in steps[0]]
    found = []
    for trainer in (plain, ours):
        (batch,) = batches(dataset, trainer.maker, trainer.steps.parts(steps[0]))
        assert batch.images.shape[1:] == (3, 224, 224) and len(batch.images) > 30
        losses = trainer.train_step(first, [batch])
        gradients = {n: p.grad for n, p in trainer.trained.network.named_parameters()}
        found.append((losses, gradients))
    (expected, theirs), (losses, gradients) = found
    assert losses == pytest.approx(expected, rel=1e-5)
    for name, gradient in theirs.items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(
            gradients[name], gradient, rtol=0, atol=1e-3 * scale + 1e-7, msg=name
        )
    for _ in range(3):
        (batch,) = batches(dataset, ours.maker, ours.steps.parts(steps[0]))
        later = ours.train_step(first, [batch])
    assert later["text"] < 0.9 * losses["text"] and later["ctc"] < losses["ctc"]
