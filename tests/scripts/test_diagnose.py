import json
import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slt_fast.checkpoint import TrainedModel, build_network, load_model, save_checkpoint

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def report(run_script: Callable, run: Path, *options: object) -> dict:
    output = run / "report.json"
    finished = run_script("diagnose.py", "--checkpoint", run, "--output", output, *options)
    assert finished.status == 0, finished.err
    found = json.loads(output.read_text())
    bad = sum(finding["is_bad"] for finding in found.values())
    assert finished.out.count("BAD") == bad and finished.out.count("good") == len(found) - bad
    return found


def changed(checkpoint: Path, folder: Path, change: Callable[[TrainedModel], None]) -> Path:
    trained = load_model(checkpoint)
    with torch.no_grad():
        change(trained)
    save_checkpoint(folder, 0, ("last", "best"), trained, tensors={}, progress={})
    return folder


def always_one_word(trained: TrainedModel) -> None:
    output = trained.network.decoder.output
    output.weight.zero_()
    output.bias.fill_(-9)
    output.bias[-1] = 9


def says_nothing(trained: TrainedModel) -> None:
    always_one_word(trained)
    trained.network.decoder.output.bias[:4] = torch.tensor([-9.0, -9.0, 99.0, -9.0])  # <eos>


def test_a_model_that_always_says_the_same(run_script, checkpoint, tmp_path: Path) -> None:
    found = report(run_script, changed(checkpoint, tmp_path, always_one_word))
    assert found["repeated translations"]["is_bad"]
    assert found["repeated translations"]["figures"] == {"share": 1.0}
    assert not found["empty translations"]["is_bad"] and found["train and dev"]["is_bad"]
    # The fixture is untrained, so gamma is 0.
    assert found["attention"]["is_bad"] and found["attention"]["figures"]["gamma"] == 0
    assert "signs that differ in one parameter" not in found  # its clips are video files


def test_a_model_that_says_nothing(run_script, checkpoint, tmp_path: Path) -> None:
    found = report(run_script, changed(checkpoint, tmp_path, says_nothing))
    assert found["empty translations"]["figures"] == {"share": 1.0}
    assert found["empty translations"]["is_bad"] and found["length of translations"]["is_bad"]


def test_the_synthetic_corpus(run_script, checkpoint, tmp_path: Path) -> None:
    def use_attention(trained: TrainedModel) -> None:
        trained.network.encoder.layer.attention.gamma.fill_(0.5)

    trained = load_model(checkpoint)
    splits = {"train_split": "train", "dev_split": "dev"}
    trained = replace(trained, trained_on=replace(trained.trained_on, **splits))
    save_checkpoint(tmp_path / "first", 0, ("best",), trained, tensors={}, progress={})
    run = changed(tmp_path / "first", tmp_path, use_attention)
    found = report(run_script, run, "--data", "synthetic", "--clips", 3)
    assert not found["attention"]["is_bad"] and found["attention"]["figures"]["gamma"] == 0.5
    assert not found["clips without motion"]["is_bad"]
    assert "in_one" in found["signs that differ in one parameter"]["figures"]


def test_clips_that_the_model_did_not_learn_are_none_of_its_training(checkpoint) -> None:
    read_some = runpy.run_path(str(SCRIPTS / "diagnose.py"))["read_some"]
    trained = load_model(checkpoint)
    data, splits = trained.trained_on.data, {"train_split": "train", "dev_split": "dev"}
    for number, expected in ((None, 2), (1, 1), (3, 2)):  # or of other data, which has fewer
        of = replace(trained.trained_on, train_clips=number, **splits)
        found = read_some(replace(trained, trained_on=of), data, "train", 32)
        assert len(found) == expected


def test_bad_clips(run_script, checkpoint, manifest: Path, tmp_path: Path, caplog) -> None:
    """Clips after a bad one are the ones looked at."""
    (tmp_path / "clip").symlink_to(manifest.parent / "second")
    (tmp_path / "bad.mp4").write_text("no video")
    rows = ["first,bad.mp4,A,a", "gone,gone.mp4,A,a", "good,clip,DOG,a dog", "other,clip,DOG,dogs"]
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(["id,video,gloss,text", *rows]) + "\n")
    data = ["--data", f"manifest:{path}"]
    stopped = run_script("diagnose.py", "--checkpoint", checkpoint, *data)
    assert stopped.status == 1 and "gone.mp4', which does not exist" in stopped.err
    run = changed(checkpoint, tmp_path, lambda _: None)
    found = report(run_script, run, *data, "--skip-bad")
    assert found["empty translations"]["found"].endswith("of 2")
    assert found["clips without motion"]["found"] == "0 of 2"
    listed = [line for line in caplog.messages if line.startswith("left out: ")]
    assert len(listed) == 2  # once each, though train and dev are one split here
    assert "gone.mp4', which does not exist" in listed[0]
    assert "bad.mp4: found text; expected a video file" in listed[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clips", "0"], "clips: found 0; expected at least 1"),
        (["--output", "{folder}/gone/a.json"], "gone: found no such folder"),
        (["--data", "synthetic:x"], "found synthetic:x; expected a whole number as its seed"),
    ],
)
def test_bad_options(run_script, checkpoint, tmp_path: Path, options, message: str) -> None:
    filled = [option.format(folder=tmp_path) for option in options]
    finished = run_script("diagnose.py", "--checkpoint", checkpoint, *filled)
    assert finished.status and message in finished.err + finished.out


def test_a_model_that_takes_glosses(run_script, checkpoint, tmp_path: Path) -> None:
    """Annotations are enough: there is no video."""
    trained = load_model(checkpoint)
    recipe = replace(trained.recipe, input=replace(trained.recipe.input, input="gloss"))
    network = build_network(recipe, trained.vocabularies)
    of = replace(trained.trained_on, train_split="train", dev_split="dev")
    trained = replace(trained, recipe=recipe, network=network, trained_on=of)
    save_checkpoint(tmp_path, 0, ("best",), trained, tensors={}, progress={})
    rows = [f"{split},gone.mp4,{split},DOG,a dog" for split in ("train", "dev")]
    annotations = tmp_path / "annotations.csv"
    annotations.write_text("\n".join(["id,video,split,gloss,text", *rows]) + "\n")
    found = report(run_script, tmp_path, "--data", f"manifest:{annotations}")
    assert "repeated translations" in found and "attention" not in found
    finished = run_script(
        "visualize_attention.py", "--checkpoint", tmp_path, "--output", tmp_path / "a.png"
    )
    assert finished.status == 1 and "found a model that takes glosses" in finished.err


def test_a_model_without_attention(run_script, checkpoint, tmp_path: Path) -> None:
    trained = load_model(checkpoint)
    recipe = replace(trained.recipe, model=replace(trained.recipe.model, attention=False))
    network = build_network(recipe, trained.vocabularies)
    trained = replace(trained, recipe=recipe, network=network)
    save_checkpoint(tmp_path, 0, ("best",), trained, tensors={}, progress={})
    found = report(run_script, tmp_path)
    assert found["attention"]["found"] == "none: trained with --no-attention"
    assert not found["attention"]["is_bad"] and found["attention"]["figures"] == {}
    assert "motion beyond the bound" in found
    finished = run_script(
        "visualize_attention.py", "--checkpoint", tmp_path, "--output", tmp_path / "a.png"
    )
    assert finished.status == 1
    assert "error: checkpoint: found a model without 2-D attention; expected" in finished.err


def test_the_data_are_not_overwritten(run_script, checkpoint, manifest: Path) -> None:
    before = manifest.read_text()
    options = ["--checkpoint", checkpoint, "--output", manifest]
    finished = run_script("diagnose.py", *options)
    assert finished.status == 1 and f"--output: found {manifest}, which belongs to --data" in (
        finished.err
    )
    assert manifest.read_text() == before
