"""A data set that trains in less than a second, and runs on it."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from slt_fast.data.synthetic import SyntheticSource
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
