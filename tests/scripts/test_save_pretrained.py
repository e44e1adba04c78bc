import shutil
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from slt_fast import Translator
from slt_fast.checkpoint import load_model
from slt_fast.files import write_json

SCORES = {"train.bleu4": 12.5, "train.num_clips": 2}


def test_a_run_becomes_a_folder_to_pass_on(run_script, checkpoint, manifest, tmp_path) -> None:
    run = tmp_path / "run"
    shutil.copytree(checkpoint, run)
    write_json(run / "metrics.json", SCORES)
    output = tmp_path / "hund"
    done = run_script("save_pretrained.py", "--checkpoint", run, "--output", output)
    assert done.status == 0, done.err
    assert f"hf upload USER/MODEL {output}" in done.out
    assert load_file(output / "model.safetensors")["decoder.output.bias"].dtype == torch.float16
    assert "| BLEU-4 | 12.5 |" in (output / "README.md").read_text()
    video = manifest.parent / "second"
    said = run_script("translate.py", video, "--checkpoint", output)
    assert said.out.splitlines()[0] == Translator.from_pretrained(output)(video).text
    again = run_script("save_pretrained.py", "--checkpoint", run, "--output", output)
    assert again.status == 1 and "found a folder with files in it" in again.err


def test_scores_precision_and_licence_are_those_asked_for(run_script, checkpoint, tmp_path) -> None:
    write_json(tmp_path / "scores.json", {**SCORES, "train.bleu4": 50})
    options = ["--scores", tmp_path / "scores.json", "--license", "mit", "--dtype", "float32"]
    options += ["--precision", "float32", "--note", "On a Xeon."]
    where = ["--checkpoint", checkpoint, "--output", tmp_path / "hund"]
    done = run_script("save_pretrained.py", *where, *options)
    assert done.status == 0, done.err
    card = (tmp_path / "hund/README.md").read_text()
    assert "| BLEU-4 | 50.0 |" in card and 'license: "mit"' in card and "On a Xeon." in card
    found, recipe = load_model(tmp_path / "hund"), load_model(checkpoint).recipe
    assert found.recipe == replace(recipe, training=replace(recipe.training, precision="float32"))


def test_without_scores_the_card_has_none(run_script, checkpoint, tmp_path: Path) -> None:
    done = run_script(
        "save_pretrained.py", "--checkpoint", checkpoint, "--output", tmp_path / "hund"
    )
    assert done.status == 0, done.err
    assert "## Scores" not in (tmp_path / "hund/README.md").read_text()
