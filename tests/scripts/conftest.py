"""Scripts run in this process: starting Python and importing torch takes longer than they do."""

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import pytest
import torch

from slt_fast.checkpoint import TrainedModel, TrainedOn, build_network, save_checkpoint
from slt_fast.data.batching import Vocabularies
from slt_fast.data.input import InputConfig
from slt_fast.data.sources import read_split
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.model.config import ModelConfig
from slt_fast.recipe import Recipe, SearchConfig, TrainingConfig

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


class Finished(NamedTuple):
    """Exit status of a script and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def run_script(monkeypatch, capsys) -> Callable[..., Finished]:
    """Runs a script with these arguments."""

    def run(name: str, *arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            runpy.run_path(str(SCRIPTS / name), run_name="__main__")
        except SystemExit as stopped:
            status = stopped.code or 0
        return Finished(status, *capsys.readouterr())

    return run


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The same rounding everywhere; and on busy cores two threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_options() -> list[str]:
    """Options that make training a matter of a second."""
    text = (
        "--image-size 32 --flow-preset fast --backbone-stages 1 --width 32 --decoder-layers 1 "
        "--decoder-feed-forward 64 --temporal-convolution 0 --batch-size 2 --num-workers 0 "
        "--device cpu --beam-size 2 --max-text-length 10"
    )
    return text.split()


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short clips of the split "train": a video file and a folder of frames."""
    folder = tmp_path_factory.mktemp("clips")
    writer = cv2.VideoWriter(
        str(folder / "first.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 64)
    )
    for frame in rendered(("MOTHER", "SLEEP"), "statement", 0):
        writer.write(frame)
    writer.release()
    (folder / "second").mkdir()
    for number, frame in enumerate(rendered(("DOG", "RED", "SEE"), "question", 1)):
        cv2.imwrite(str(folder / "second" / f"{number}.png"), frame)
    path = folder / "manifest.csv"
    path.write_text(
        "id,video,gloss,text,split\n"
        "first,first.mp4,MOTHER SLEEP,the mother is asleep .,train\n"
        "second,second,DOG RED SEE,did you see the red dog ?,train\n"
    )
    return path


def rendered(glosses: tuple[str, ...], mode: str, signer: int) -> list:
    source = SyntheticSource("", glosses, mode, signer, (0, 0), (64, 64))
    return [frame[..., ::-1].copy() for frame in source.read()]


@pytest.fixture
def data_options(manifest: Path) -> list[str]:
    """Options that take the two clips for every split."""
    splits = [
        option for part in ("train", "dev", "test") for option in (f"--{part}-split", "train")
    ]
    return ["--data", f"manifest:{manifest}", *splits]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> Path:
    """A run whose best checkpoint is an untrained model; not to be written to."""
    recipe = Recipe(
        input=InputConfig(image_size=32, flow_preset="fast"),
        model=ModelConfig(
            backbone_stages=1,
            backbone_weights="none",
            width=32,
            decoder_layers=1,
            decoder_feed_forward=32,
        ),
        training=TrainingConfig(num_workers=0),
        search=SearchConfig(max_text_length=8, beam_size=2),
    )
    words = Vocabularies.build(read_split(f"manifest:{manifest}", "train"))
    trained_on = TrainedOn(f"manifest:{manifest}", "train", "train", "train", "0" * 64, False)
    trained = TrainedModel(build_network(recipe, words), recipe, words, trained_on)
    run = tmp_path_factory.mktemp("run")
    save_checkpoint(run, 0, ("last", "best"), trained, tensors={}, progress={})
    return run
