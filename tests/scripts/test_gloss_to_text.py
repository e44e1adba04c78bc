"""The commands with a model that takes glosses instead of video."""

import json
from pathlib import Path

import pytest

ROWS = [
    ("train", "MORGEN REGEN", "morgen regnet es"),
    ("train", "HEUTE SONNE", "heute scheint die sonne"),
    ("dev", "MORGEN SONNE", "morgen scheint die sonne"),
    ("test", "HEUTE REGEN", "heute regnet es"),
]
# What a video would be asked for.
OPTIONS = [["--probe", "blank"], ["--fps", 25], ["--flow-cache", "f"], ["--gloss-beam-size", 5]]


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sentences") / "manifest.csv"
    rows = [f"{number},gone,{','.join(row)}" for number, row in enumerate(ROWS)]
    path.write_text("\n".join(["id,video,split,gloss,text", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def run(run_script, one_thread, sentences: Path, tmp_path: Path) -> Path:
    """A run of one epoch of the recipe, as small as can be."""
    sizes = "--width 32 --decoder-feed-forward 32 --encoder-layers 1 --decoder-layers 1 --epochs 1"
    where = ["--data", f"manifest:{sentences}", "--output", tmp_path / "run", "--device", "cpu"]
    trained = run_script("train.py", "--recipe", "gloss-to-text", *sizes.split(), *where)
    assert trained.status == 0, trained.err
    assert "wer" not in trained.out and "--glosses" in trained.out
    return tmp_path / "run"


def test_glosses_go_in_and_text_comes_out(run_script, run: Path, caplog) -> None:
    where = ["--checkpoint", run, "--device", "cpu"]
    scored = run_script("evaluate.py", *where)
    assert scored.status == 0, scored.err
    scores = json.loads(scored.out)
    assert scores["test.num_clips"] == 1 and "test.text" in scores
    assert not {"test.wer", "test.ctc"} & scores.keys()
    tuned = run_script("evaluate.py", *where, "--tune")
    assert tuned.status == 0 and tuned.out.splitlines()[-1].startswith("--beam-size ")
    caplog.clear()
    said = run_script("translate.py", "--glosses", "MORGEN HAGEL", *where, "--n-best", 2)
    assert said.status == 0 and len(said.out.splitlines()) == 2
    assert caplog.messages == ["glosses that the training data do not have: HAGEL"]
    for options in OPTIONS:
        refused = run_script("evaluate.py", *where, *options)
        assert refused.status == 1 and ("glosses" in refused.err or "'gloss'" in refused.err)
        assert "Traceback" not in refused.err


def test_no_video_goes_in(run_script, run: Path) -> None:
    refused = run_script("translate.py", "clip.mp4", "--checkpoint", run, "--device", "cpu")
    assert refused.status == 1
    assert "clip.mp4: found a model that takes glosses instead of video" in refused.err
    empty = run_script("translate.py", "--glosses", " ", "--checkpoint", run, "--device", "cpu")
    assert empty.status == 1 and "glosses: found none; expected at least one" in empty.err


def test_a_model_that_sees_video_takes_no_glosses(run_script, checkpoint: Path) -> None:
    refused = run_script("translate.py", "--glosses", "MOTHER", "--checkpoint", checkpoint)
    assert refused.status == 1
    assert "found a model that sees flow images; expected one trained with input" in refused.err
    for options, expected in ((["a.mp4"], "glosses alone"), (["--start", 3], "glosses without it")):
        both = run_script("translate.py", *options, "--glosses", "A", "--checkpoint", checkpoint)
        assert both.status and f"expected {expected}" in " ".join((both.out + both.err).split())
