import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from slt_fast.commands.train import Arguments, parse_arguments, show
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.video.source import VideoSource
from slt_fast.inference.translate import Translation
from slt_fast.metrics import Score
from slt_fast.recipe import RECIPES, Recipe
from slt_fast.training.evaluation import Evaluation
from slt_fast.training.run import RunConfig
from slt_fast.training.summary import next_commands, score_table

CLIP = AnnotatedClip("test-00000", VideoSource(Path("a")), "text", None, None, "test", "list:1")
TEST = Evaluation({}, [CLIP], [])


def test_table_shows_the_intervals() -> None:
    scores = {"bleu4": Score(83.704, (79.1, 87.3)), "chrf": Score(90.0), "no_dot.bleu4": Score(7.0)}
    words = cells(score_table(scores, "test: 160 clips"), width=80)
    assert ["bleu4", "83.70", "7.00", "79.10 to 87.30"] in words
    assert ["chrf", "90.00", "", ""] in words
    assert ["score", "value", "no dot", "95 % interval"] in words
    del scores["no_dot.bleu4"]
    assert ["bleu4", "83.70", "79.10 to 87.30"] in cells(score_table(scores, ""), width=80)


def cells(table: Table, *, width: int) -> list[list[str]]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    lines = [line.replace("┃", "│").split("│")[1:-1] for line in capture.get().splitlines()]
    return [[cell.strip() for cell in line] for line in lines]


def test_a_narrow_table_cuts_no_number() -> None:
    scores = {"exact_match": Score(100.0, (99.25, 100.0)), "no_dot.bleu4": Score(7.0)}
    for width in (40, 30):
        rows = [row for row in cells(score_table(scores, ""), width=width) if row]
        columns = zip(*rows, strict=True)
        shown = ["".join(column) for column in columns]
        assert "exact_match" in shown[0] and "100.00" in shown[1]
        assert "99.25to100.00" in shown[3].replace(" ", "")


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ("synthetic", ""),
        ("synthetic:7", " --seed 7"),
        ("synthetic-agreement:7", " --seed 7 --agreement"),
    ],
)
def test_a_model_of_the_rendered_signer_is_given_a_clip_of_it(tiny_recipe, data, options) -> None:
    run = RunConfig(data, Path("runs/a run"), test_split="test_signers")
    commands = next_commands("quickstart", tiny_recipe, run, TEST)
    assert commands == [
        ". .venv/bin/activate",
        f"python scripts/render_synthetic.py --clip test-00000{options} --output 'runs/a run'",
        "python scripts/translate.py 'runs/a run/test-00000' --checkpoint 'runs/a run/best'",
        "python scripts/evaluate.py --checkpoint 'runs/a run/best' --probe blank",
        "tensorboard --logdir 'runs/a run'",
        commands[-1],
    ]


def test_other_models_are_given_a_video(tiny_recipe) -> None:
    recipe = replace(tiny_recipe, input=replace(tiny_recipe.input, input="rgb"))
    run = RunConfig("manifest:clips.csv", Path("runs/own"))
    _, first, *_ = next_commands("paper", recipe, run, TEST)
    assert first == "python scripts/translate.py VIDEO --checkpoint runs/own/best"


def test_outside_of_a_checkout_the_commands_are_the_installed_ones(
    tiny_recipe, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "scripts").mkdir()  # someone else's
    monkeypatch.chdir(tmp_path)
    run = RunConfig("manifest:clips.csv", Path("runs/own"))
    commands = next_commands("paper", tiny_recipe, run, TEST)
    assert commands[:3] == [
        "slt-translate VIDEO --checkpoint runs/own/best",
        "slt-evaluate --checkpoint runs/own/best --probe blank",
        "tensorboard --logdir runs/own",
    ]
    assert commands[3].startswith("slt-train --recipe paper ")
    # Only a checkout can render a clip of the synthetic signer.
    rendered = next_commands("paper", tiny_recipe, replace(run, data="synthetic"), TEST)
    assert rendered[:2] == commands[1:3]


def parsed(command: str, monkeypatch) -> tuple[Recipe, RunConfig]:
    monkeypatch.setattr(sys, "argv", shlex.split(command)[1:])
    arguments = parse_arguments()
    return arguments.settings, arguments.run


@pytest.mark.parametrize(
    ("name", "before", "after"), [("paper", "flow", "rgb"), ("fast", "rgb", "flow")]
)
def test_the_comparison_has_the_options_of_the_run(
    tiny_recipe, monkeypatch, name: str, before: str, after: str
) -> None:
    """All that a run can be given: lists, switches, and text that looks like an option."""
    recipe = replace(tiny_recipe, input=replace(tiny_recipe.input, input=before))
    recipe = replace(recipe, model=replace(recipe.model, memory_norm=False, key_channels=8))
    run = RunConfig("manifest:a b.csv", Path("runs/a run"), True, True, "-x", "dev-5", "t")
    run = replace(run, train_clips=3)
    own = replace(run, flow_cache=Path("flow"), save_translations=Path("test.csv"))
    *_, probe, _, again = next_commands(name, recipe, own, TEST)
    expected = replace(run, output=Path(f"runs/a run-{after}"), resume=False)
    settings, found = parsed(again, monkeypatch)
    assert settings == replace(recipe, input=replace(recipe.input, input=after))
    assert found == expected
    assert probe.endswith("--probe blank --skip-bad")


def test_a_run_as_the_recipe_is_has_a_short_comparison() -> None:
    *_, last = next_commands("quickstart", RECIPES["quickstart"], RunConfig(), TEST)
    assert last == "python scripts/train.py --recipe quickstart --input=rgb --output runs/run-rgb"


def test_what_a_data_set_says_is_shown_escaped(tiny_recipe, capsys) -> None:
    rude = "[/b]\x1b[2J\u2028x"
    clip = AnnotatedClip(rude, VideoSource(Path("a")), rude, None, None, rude, "list:1")
    scores = {"bleu4": Score(1.0, signature="s")}
    test = Evaluation(scores, [clip], [Translation(rude, (rude,))])
    run = RunConfig("manifest:clips.csv", Path(f"runs/{rude}"), test_split=rude)
    show(test, Arguments(run, tiny_recipe, "paper"))
    printed = capsys.readouterr().out
    assert printed.count(r"[/b]\x1b[2J\u2028x") >= 4 and r"Scores: runs/[/b]\x1b" in printed
    assert all(line.isprintable() for line in printed.split("\n"))
