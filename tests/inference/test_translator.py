import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import slt_fast
from slt_fast import Translator
from slt_fast.checkpoint import (
    TrainedModel,
    TrainedOn,
    build_network,
    load_model,
    save_checkpoint,
)
from slt_fast.data.batching import Vocabularies
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.video.source import VideoSource
from slt_fast.data.vocabulary import GLOSS_SPECIALS, TEXT_SPECIALS, Vocabulary
from slt_fast.errors import DataError, UserError
from slt_fast.inference.translate import translate_source

TRAINED_ON = TrainedOn("synthetic", "train", "dev", "test", "0" * 64, False)


@pytest.fixture
def run(tiny_recipe, tmp_path: Path) -> Path:
    """The folder of a run whose model is untrained and says a lot."""
    words = Vocabularies(
        Vocabulary(TEXT_SPECIALS, ("ein", "hund")), Vocabulary(GLOSS_SPECIALS, ("HUND",))
    )
    network = build_network(tiny_recipe, words)
    with torch.no_grad():
        network.decoder.output.bias[: len(TEXT_SPECIALS)] = -99
    trained = TrainedModel(network, tiny_recipe, words, TRAINED_ON)
    save_checkpoint(tmp_path / "run", 1, ("best",), trained, tensors={}, progress={})
    return tmp_path / "run"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Rendered frames as a video of 12.5 frames a second, and beside it as a folder."""
    source = SyntheticSource("a", ("DOG", "SLEEP"), "statement", 0, (0, 0), (48, 48))
    fourcc = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), fourcc, 12.5, (48, 48))
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(source.read()):
        writer.write(frame[..., ::-1].copy())
        cv2.imwrite(str(tmp_path / "frames" / f"{number:03d}.png"), frame[..., ::-1])
    writer.release()
    return tmp_path / "clip.mp4"


def test_translates_a_video(run: Path, video: Path) -> None:
    translator = Translator.load(str(run), device="cpu")
    said = translator(str(video))
    expected = translate_source(load_model(run), VideoSource(video))
    assert (said.text, said.glosses) == (expected.text, expected.glosses)
    assert len(said.text.split()) == 8 and said.frame_rate == pytest.approx(12.5)
    assert translator.knows_glosses


def test_translates_a_part_of_a_folder(run: Path, video: Path) -> None:
    folder = video.with_name("frames")
    said = Translator.load(run)(folder, start=3, end=9)
    expected = translate_source(load_model(run), VideoSource(folder, 3, 9))
    assert (said.text, said.glosses, said.frame_rate) == (expected.text, expected.glosses, None)
    for path in folder.iterdir():
        if not 3 <= int(path.stem) < 9:
            path.write_bytes(b"")
    assert Translator.load(run)(folder, start=3, end=9) == said


def test_frames_are_resampled_to_the_rate_of_the_training_data(run: Path, video: Path, caplog):
    translator = Translator.load(run)
    assert translator.fps == "native"
    (message,) = caplog.messages
    assert message.startswith("the checkpoint holds no frame rate: frames are not resampled")
    trained_on = replace(translator.trained.trained_on, fps=25.0)
    trained = replace(translator.trained, trained_on=trained_on)
    caplog.clear()
    for fps in (None, 50, "native"):
        said = Translator(trained, fps=fps)(video)
        source = VideoSource(video) if fps == "native" else VideoSource(video).at_rate(fps or 25)
        assert source.num_frames() == VideoSource(video).num_frames() * {None: 2, 50: 4}.get(fps, 1)
        assert said.text == translate_source(trained, source).text
        assert said.frame_rate == pytest.approx(12.5)
    assert not caplog.messages
    save_checkpoint(run, 2, ("best",), trained, tensors={}, progress={})
    assert Translator.load(run).fps == 25


def test_what_cannot_be_translated_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: found nothing; expected a checkpoint's folder"):
        Translator.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="device: found 'gpu'; expected auto or one that torch"):
        Translator.load(run, device="gpu")
    with pytest.raises(UserError, match="^fps: found '25'; expected a finite number"):
        Translator.load(run, fps="25")
    with pytest.raises(DataError, match=r"clip\.mp4: found no such file; expected a video file"):
        Translator.load(run)(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    "frames",
    [np.zeros((4, 48, 48, 3), np.uint8), torch.zeros(4, 3, 48, 48), ["a.mp4"], b"a.mp4", None],
)
def test_frames_are_taken_by_their_path_only(run: Path, frames: object) -> None:
    found = type(frames).__qualname__
    message = rf"^video: found {found}; expected the path of a video or of a folder of frames"
    with pytest.raises(TypeError, match=message):
        Translator.load(run)(frames)


def test_importing_the_package_is_light() -> None:
    """Only torch and numpy may be needed for the operators."""
    code = "import sys, slt_fast; print([name for name in ('torch', 'cv2') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
    with pytest.raises(AttributeError, match="has no attribute 'Translater'"):
        slt_fast.Translater  # noqa: B018


@pytest.mark.parametrize("module", ["slt_fast:Translator", "slt_fast.commands.train:entry"])
def test_missing_packages_are_named_with_their_extra(module: str) -> None:
    place, name = module.split(":")
    code = (
        "import sys; sys.modules |= dict.fromkeys(('cv2', 'safetensors', 'tyro'))\n"
        f"from {place} import {name}"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    advice = "; install the extra slt (pip install '.[slt]')"
    assert found.returncode == 1 and found.stderr.splitlines()[-1].endswith(advice)
