"""A recipe and a data set that train in less than a second."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from slt_fast.data.augmentation import AugmentationConfig
from slt_fast.data.input import InputConfig
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.model.config import ModelConfig
from slt_fast.recipe import Recipe, TrainingConfig
from slt_fast.training.loop import train
from slt_fast.training.run import RunConfig

ROWS = [
    ("train", "MOTHER SLEEP", "the mother sleeps ."),
    ("train", "FATHER WORK", "the father works ."),
    ("train", "DOG RED", "a red dog ."),
    ("train", "MOTHER WORK", "the mother works ."),
    ("train", "FATHER SLEEP", "the father sleeps ."),
    ("dev", "DOG SLEEP", "a dog sleeps ."),
    ("dev", "FATHER RED", "a red father ."),
    ("test", "DOG WORK", "a dog works ."),
    ("test", "MOTHER RED", "a red mother ."),
]


@pytest.fixture
def tiny_recipe() -> Recipe:
    """With all that is random switched on: dropout, augmentation, order."""
    return Recipe(
        InputConfig(image_size=32, flow_preset="fast", flow_bound=4.0),
        AugmentationConfig(zoom=0.1, shift=0.05, vigour=0.1, frame_dropout=0.1),
        ModelConfig(
            backbone_stages=1,
            backbone_weights="none",
            gamma_start=0.5,
            memory_map_size=(2, 2),
            width=32,
            decoder_layers=1,
            decoder_feed_forward=64,
            dropout=0.1,
        ),
        TrainingConfig(
            epochs=2,
            batch_size=2,
            learning_rate=3e-3,
            schedule="cosine",
            weight_decay=0.01,
            preload=True,
            num_workers=0,
            device="cpu",
            beam_size=2,
            max_text_length=8,
        ),
    )


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered clips as frame folders, with splits train, dev and test; not to be written to."""
    folder = tmp_path_factory.mktemp("clips")
    lines = ["id,video,gloss,text,split"]
    for number, (split, glosses, text) in enumerate(ROWS):
        source = SyntheticSource("", tuple(glosses.split()), "statement", number, (0, 0), (40, 40))
        (folder / f"clip{number}").mkdir()
        for index, frame in enumerate(source.read()):
            cv2.imwrite(str(folder / f"clip{number}" / f"{index:03d}.png"), frame[..., ::-1])
        lines.append(f"clip{number},clip{number},{glosses},{text},{split}")
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def own_manifest(manifest: Path, tmp_path: Path) -> Path:
    """A copy, with its clips, that may be written to."""
    return Path(shutil.copytree(manifest.parent, tmp_path / "clips")) / manifest.name


@pytest.fixture
def run(tmp_path: Path, manifest: Path) -> RunConfig:
    return RunConfig(data=f"manifest:{manifest}", output=tmp_path / "run")


@pytest.fixture
def finished(tiny_recipe, run) -> RunConfig:
    """A run of one epoch, to be resumed."""
    train(replace(tiny_recipe, training=replace(tiny_recipe.training, epochs=1)), run)
    return replace(run, resume=True)
