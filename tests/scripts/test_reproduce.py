"""scripts/reproduce.py: the table of experiments, small experiments, and what their reports say."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from slt_fast.checkpoint import build_network, load_model, save_checkpoint
from slt_fast.commands.train import parse_arguments
from slt_fast.data.batching import Vocabularies
from slt_fast.device import choose_device, hardware_name
from slt_fast.errors import DataError, UserError
from slt_fast.files import read_json, write_json
from slt_fast.metrics.paired import paired_test
from slt_fast.model.config import ModelConfig
from slt_fast.recipe import RECIPES, Recipe, differences

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def part(monkeypatch):
    """Imports a part of the script, as the script does."""
    monkeypatch.syspath_prepend(ROOT / "scripts")

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"reproduction.{name}")

    return load


def test_each_variant_is_a_recipe_whose_network_computes(part, monkeypatch) -> None:
    """Variants of an experiment differ."""
    for name, experiment in part("experiments").EXPERIMENTS.items():
        models = []
        for variant in experiment.variants.values():
            recipe = recipe_of(variant, monkeypatch)
            models.append((recipe.model, recipe.input.input))
            small = replace(recipe.model, width=32, decoder_layers=1, decoder_feed_forward=32)
            network = build_network(replace(recipe, model=small), Vocabularies.build([])).eval()
            images, tokens = torch.rand(5, 3, 16, 16), torch.zeros(2, 3, dtype=torch.int64)
            if not recipe.input.has_images:
                images = torch.ones(5, dtype=torch.int64)  # glosses
            with torch.no_grad():
                output = network(images, torch.tensor([2, 3]), tokens)
            assert output.text_logits.isfinite().all(), name
            assert variant.against is None or variant.against in experiment.variants
        assert len(set(models)) == len(models), name
        assert any(variant.against is None for variant in experiment.variants.values())


SETTINGS = {
    "rgb-vs-flow": {"input.input"},
    "positional-encoding": {"model.positional_encoding"},
    "heads": {"model.attention_heads"},
    "feed-forward": {"model.feed_forward"},
    "attention": {"model.attention", "model.memory_map_size", "model.positional_encoding"},
    "backbone-3d": {"model.backbone", "input.input"},
}


def test_a_variant_differs_in_one_setting_from_that_which_it_is_tested_against(
    part, monkeypatch
) -> None:
    """In phoenix-rendered they have other recipes, and without attention gamma means nothing."""
    for name, experiment in part("experiments").EXPERIMENTS.items():
        found = set()
        for variant in experiment.variants.values():
            if variant.against and name != "phoenix-rendered":
                other = experiment.variants[variant.against]
                changed = differences(*(recipe_of(each, monkeypatch) for each in (variant, other)))
                if changed.get("model.attention") == (True, False):
                    changed.pop("model.gamma_start", None)
                assert len(changed) == 1, (name, changed)
                found |= changed.keys()
        assert found == SETTINGS.get(name, set())


def recipe_of(variant, monkeypatch) -> Recipe:
    options = ["--recipe", variant.recipe or "quickstart", *variant.options]
    monkeypatch.setattr(sys, "argv", ["train.py", *options])
    return parse_arguments().settings


def test_a_video_is_decoded_as_its_glosses_are(part, monkeypatch) -> None:
    variants = part("experiments").EXPERIMENTS["phoenix-rendered"].variants
    gloss, video = (recipe_of(variants[name], monkeypatch) for name in ("gloss", "video"))
    assert (gloss.input.input, video.input.input) == ("gloss", "flow")
    assert gloss.search == replace(video.search, gloss_beam_size=1) and gloss.text == video.text
    names = ("width", "dropout", "embedding_std", "memory", "memory_norm")
    names += tuple(name for name in vars(gloss.model) if name.startswith("decoder_"))
    assert [getattr(gloss.model, name) for name in names] == [
        getattr(video.model, name) for name in names
    ]


def plan_rendered(part, output: Path, **given) -> list:
    experiment = part("experiments").EXPERIMENTS["phoenix-rendered"]
    settings = {"data": "phoenix14t-rendered:x", "recipe": None, "seeds": 1, "train_options": []}
    return part("runs").plan_runs(experiment, **settings | given, output=output)


def test_variants_may_have_recipes_of_their_own(part, tmp_path: Path) -> None:
    options = ["--train-clips", "1000"]
    runs = plan_rendered(part, tmp_path, train_options=options)
    assert [run.name for run in runs] == ["gloss, seed 0", "video, seed 0"]
    data = ("--data", "phoenix14t-rendered:x", "--seed", "0")
    assert runs[0].options == ("--recipe", "gloss-to-text", *data, *options)
    assert runs[1].options[:6] == ("--recipe", "quickstart", *data)
    assert runs[1].options[-2:] == tuple(options)
    with pytest.raises(UserError, match="recipe: found 'paper'; expected none, as each variant"):
        plan_rendered(part, tmp_path, recipe="paper")
    with pytest.raises(UserError, match="data: found none; expected --data, such as phoenix14t-r"):
        plan_rendered(part, tmp_path, data=part("experiments").EXPERIMENTS["phoenix-rendered"].data)


def test_options_are_compared_by_name(part) -> None:
    by_name = part("runs").by_name
    words = [
        "--epochs",
        "3",
        "--no-preload",
        "--size",
        "7",
        "7",
        "--length_penalty=-1",
        "--compile",
    ]
    expected = {"epochs": ("3",), "preload": ("no",), "size": ("7", "7")}
    assert by_name(words) == expected | {"length-penalty": ("-1",), "compile": ()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "3"], "found --seed; expected none that the experiment chooses"),
        (["--output=x"], "found --output;"),
        (["--epochs", "1", "--no-positional-encoding"], "found --positional-encoding;"),
        (["--positional_encoding"], "found --positional-encoding;"),
        (["3"], "found '3'; expected options of scripts/train.py"),
    ],
)
def test_what_the_experiment_chooses_is_not_free(part, tmp_path, options, message) -> None:
    with pytest.raises(UserError, match=f"^train options: {message}"):
        planned(part, tmp_path, options)


def planned(part, output: Path, options: list[str], seeds: int = 1) -> list:
    settings = {"data": "synthetic", "recipe": "quickstart", "seeds": seeds}
    experiment = part("experiments").EXPERIMENTS["positional-encoding"]
    runs = part("runs").plan_runs(experiment, **settings, train_options=options, output=output)
    assert [run.name for run in runs[:2]] == ["with, seed 0", "without, seed 0"]
    return runs


def test_a_folder_with_another_command_is_refused(part, tmp_path: Path, monkeypatch) -> None:
    for run in planned(part, tmp_path, ["--epochs", "3"]):
        run.record(threads=1)
    runs = planned(part, tmp_path, ["--epochs", "3"], seeds=2)  # more seeds are no other command
    assert len(runs) == 4
    message = "with/seed-0: found a run with --epochs 3; expected --epochs 4, as asked for now"
    with pytest.raises(DataError, match=message):
        planned(part, tmp_path, ["--epochs", "4"])
    with pytest.raises(DataError, match="found a run with --epochs 3; expected no --epochs"):
        planned(part, tmp_path, [])
    with pytest.raises(DataError, match="found a run with no --preload; expected --no-preload"):
        planned(part, tmp_path, ["--epochs", "3", "--no-preload"])
    quickstart = RECIPES["quickstart"]
    other = replace(quickstart, search=replace(quickstart.search, beam_size=7))
    with monkeypatch.context() as patch:
        patch.setitem(RECIPES, "quickstart", other)
        with pytest.raises(DataError, match="found a run of another version of recipe 'quicks"):
            planned(part, tmp_path, ["--epochs", "3"])
    (runs[0].folder / "command.json").unlink()
    (runs[0].folder / "last").touch()
    with pytest.raises(
        DataError, match="found no command.json, but other files; expected an empty"
    ):
        planned(part, tmp_path, ["--epochs", "3"])


def test_the_threads_of_runs_at_a_time(part, monkeypatch) -> None:
    module = part("training")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: {*range(8)})
    assert [module.threads_of_run(jobs) for jobs in (1, 3, 9)] == [8, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert module.threads_of_run(3) == 5


SAID = {
    ("with", 0): ["the mother sleeps .", "a dog ?"],
    ("with", 1): ["the mother sleeps .", "the dog barks ?"],
    ("without", 0): ["the mother sleeps .", "the dog ?"],
}
REFERENCES = ["the mother sleeps .", "the dog barks ?"]


@pytest.fixture
def measured(part, checkpoint: Path, tmp_path: Path) -> list:
    """Runs as if they had been trained; that of "without" with seed 1 is missing."""
    runs = planned(part, tmp_path, ["--epochs", "2"], seeds=2)
    for number, run in enumerate(runs):
        if (run.variant, run.seed) not in SAID:
            continue
        shutil.copytree(checkpoint, run.folder)
        run.record(threads=1)
        scores = {"test.num_clips": 2, "test.signature": "nrefs:1", "best_dev_bleu4": 3.0}
        scores |= {"test.most_common_share": 0.5}
        for score in ("bleu4", "wer", "exact_match"):
            value = 10.0 * number + len(score) - 5  # the first BLEU-4 is 0, as bad models have
            scores |= {f"test.{score}": value}
            scores |= {f"test.{score}_low": value - 1, f"test.{score}_high": value + 1}
        write_json(run.folder / "metrics.json", scores)
        paces = [{"seconds_a_step": 0.5}, {}, {"seconds_a_step": 0.25}, {"seconds_a_step": 0.25}]
        epochs = [{"step": 3 * number, **pace} for number, pace in enumerate(paces, start=1)]
        (run.folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, epochs)))
        rows = zip(["1", "2"], REFERENCES, SAID[run.variant, run.seed], strict=True)
        names = ("id", "reference", "hypothesis")
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
        run.translations.write_text("\n".join(lines))
    return runs


def collected(part, runs: list, **changes) -> dict:
    experiment = replace(part("experiments").EXPERIMENTS["positional-encoding"], **changes)
    about = {"experiment": "positional-encoding", "question": "?", "data": "synthetic"}
    about |= {"seeds": 2, "train_options": ["--epochs", "2"], "jobs": 1}
    return part("results").collect(experiment, runs, about)


def test_a_report_has_the_scores_of_the_runs(part, measured) -> None:
    found = collected(part, measured)
    assert found["missing"] == ["without, seed 1"]
    first, other = (found["variants"][name] for name in ("with", "without"))
    assert [run["bleu4"] for run in first["runs"]] == [0.0, 20.0] and first["mean"]["bleu4"] == 10
    assert first["mean"] | {"bleu4_lowest": 0.0, "bleu4_highest": 20.0} == first["mean"]
    assert first["mean"]["seconds_a_step"] == 0.25 and other["seeds_finished"] == [0]
    assert not any("test" in run for run in first["runs"])
    expected = paired_test(SAID["without", 0], SAID["with", 0], REFERENCES)
    (run,) = other["runs"]
    assert run["test"]["bleu4"] == expected["bleu4"]._asdict() and run["wer_low"] == 7.0
    text = part("report").to_markdown(found)
    assert "**Missing runs: without, seed 1.**" in text
    row = "| with | all | 10 | 12 | 2 | 10.0 (0.0 to 20.0) |  | 8.0 | 16.0 |"
    assert f"{row} 51 (CoL-SLTD, arXiv 2502.02587) |" in text and "recipe `quickstart`, " in text
    difference = expected["bleu4"].first - expected["bleu4"].second
    p = f"{difference:+.1f} | {expected['bleu4'].p_value:.4f}"
    row = "| without | 0 | 10.0 (9.0 to 11.0) | 8.0 (7.0 to 9.0) | 16.0 (15.0 to 17.0) | 50.0% |"
    assert f"{row} with | {p} |" in text and f", {hardware_name(choose_device())}." in text
    mean = f"{difference:+.1f} against with"
    assert f"| without | all | 10 | 12 | 1 | 10.0 | {mean} |" in text
    assert "The published figures are of CoL-SLTD, these of `synthetic`." in text
    assert f"--output {measured[0].folder}" in text and "OMP_NUM_THREADS=1 python" in text


def test_differences_are_averaged_over_the_seeds_that_both_have(part) -> None:
    tests = [{"first": 30.0, "second": 20.0}, {"first": 24.0, "second": 26.0}]
    rows = [{"bleu4": test["first"], "test": {"bleu4": test}} for test in tests]
    mean = part("results")._means([*rows, {"bleu4": 60.0}])
    assert (mean["bleu4"], mean["bleu4_lowest"], mean["bleu4_highest"]) == (38, 24, 60)
    differences = [mean[f"difference{end}"] for end in ("", "_lowest", "_highest")]
    assert differences == [4, -2, 10]


def test_small_scores_have_two_digits(part, measured) -> None:
    metrics = read_json(measured[0].folder / "metrics.json")
    changed = {"test.bleu4": 0.04, "test.bleu4_low": 0.0, "test.bleu4_high": 0.126}
    write_json(measured[0].folder / "metrics.json", metrics | changed)
    text = part("report").to_markdown(collected(part, measured))
    assert "| with | 0 | 0.04 (0.00 to 0.13) |" in text


def test_a_report_says_what_the_attention_does(part, measured) -> None:
    """In test clips, by the checkpoint; of a network without attention nothing."""
    for run, settings in zip(measured, [{"gamma_start": 0.25}, {"attention": False}], strict=False):
        trained = load_model(run.folder)
        recipe = replace(trained.recipe, model=replace(trained.recipe.model, **settings))
        network = build_network(recipe, trained.vocabularies)
        trained = replace(trained, recipe=recipe, network=network)
        save_checkpoint(run.folder, 0, ("best",), trained, tensors={}, progress={})
    found = collected(part, measured[:2], looks=True)
    (first,), (other,) = (found["variants"][name]["runs"] for name in ("with", "without"))
    look = first["attention"]
    assert look["gamma"] == 0.25 and look["change"] > 0 and other["attention"] is None
    assert 0 < look["far_share"] < 1 and 0 < look["uniform_far_share"] < 1
    text = part("report").to_markdown(found)
    row = f"| with | 0 | 0.250 | {look['change']:.1%} | {look['far_share']:.1%} |"
    assert row in text and "| without | 0 | 0." not in text
    assert "## Attention" not in part("report").to_markdown(collected(part, measured[:2]))


def test_an_empty_report_lists_what_is_missing(part, tmp_path: Path) -> None:
    found = collected(part, planned(part, tmp_path, []))
    assert (
        part("report")
        .to_markdown(found)
        .endswith("**Missing runs: with, seed 0; without, seed 0.**\n")
    )


def test_runs_of_other_clips_are_not_compared(part, measured) -> None:
    lines = measured[1].translations.read_text().replace("barks", "runs")
    measured[1].translations.write_text(lines)
    with pytest.raises(DataError, match=r"found other clips \(reference\); expected those of"):
        collected(part, measured)


def test_operations_are_counted(part, measured) -> None:
    """Of the fused attention as well, and of 3-D convolutions three times as many."""
    costs = collected(part, measured)["variants"]["with"]
    trained = part("results").load_model(measured[0].folder)
    assert costs["parameters"] == sum(p.numel() for p in trained.network.parameters())
    counted = {
        kind: part("results")._costs(replace(trained, recipe=with_model(trained.recipe, kind)))
        for kind in ("resnet18", "r3d_18")
    }
    frames, plain = costs["clip_frames"], counted["resnet18"]["flops_of_clip"]
    assert plain == costs["flops_of_clip"]
    C, P, D, h = 64, 8 * 8, 32, 16  # channels, positions, width and side of the stem's maps
    convolutions = 2 * h * h * 3 * C * 49 + 4 * 2 * P * C * C * 9
    attention = 2 * P * C * (C + 2 * C // 8) + 2 * P * P * (C // 8 + C)
    rest = plain / frames - convolutions - attention - 2 * C * 49 * D
    assert 0 < rest / plain * frames < 0.5  # the feed-forward, and G glosses
    assert counted["r3d_18"]["flops_of_clip"] > 8 * plain


def with_model(recipe, backbone: str):
    model = ModelConfig(**{**vars(recipe.model), "backbone": backbone})
    return replace(recipe, model=model)


@pytest.fixture
def tiny(tiny_options, data_options, tmp_path: Path) -> list[str]:
    """Options of reproduce.py for two clips, without their number of epochs."""
    data, splits = data_options[:2], data_options[2:]
    return [*data, "--output", str(tmp_path / "runs"), "--", *splits, *tiny_options]


def test_a_run_that_fails_is_named(run_script, tiny, tmp_path: Path) -> None:
    experiment = ["--experiment", "rgb-baseline", "--seeds", 1]
    finished = run_script("reproduce.py", *experiment, *tiny, "--epochs", "0")
    assert finished.status == 1, finished.err
    assert "rgb, seed 0: FAILED with status 2" in finished.out
    assert "epochs: found 0; expected at least 1" in finished.out
    log = tmp_path / "runs" / "rgb" / "seed-0" / "train.log"
    assert finished.out.endswith(f"failed:\n  rgb, seed 0 ({log})\n")
    assert json.loads((tmp_path / "runs/report.json").read_text())["missing"] == ["rgb, seed 0"]


@pytest.mark.slow
def test_an_experiment_from_end_to_end(run_script, tiny, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    experiment = ["--experiment", "rgb-vs-flow", "--seeds", 2, "--jobs", 2]
    arguments = [*experiment, *tiny, "--epochs", "2"]
    finished = run_script("reproduce.py", *arguments)
    assert finished.status == 0, finished.out + finished.err
    assert "4 runs, 0 of them finished before" in finished.out
    report = json.loads((tmp_path / "runs" / "report.json").read_text())
    assert report["missing"] == [] and (tmp_path / "runs/report.md").read_text() in finished.out
    for name in ("rgb", "flow"):
        for run in report["variants"][name]["runs"]:
            folder = tmp_path / "runs" / name / f"seed-{run['seed']}"
            metrics = json.loads((folder / "metrics.json").read_text())
            for score in ("bleu4", "bleu4_low", "wer", "exact_match_high"):
                assert run[score] == metrics[f"train.{score}"]
            assert run["seconds_a_step"] > 0 and f"--input {name}" in run["command"]
    assert [run["test"]["against"] for run in report["variants"]["flow"]["runs"]] == ["rgb"] * 2
    again = run_script("reproduce.py", *arguments)
    assert again.status == 0 and "4 runs, 4 of them finished before" in again.out
    assert "begins" not in again.out
    other = run_script("reproduce.py", *experiment, *tiny, "--epochs", "3")
    assert other.status == 1
    assert "found a run with --epochs 2; expected --epochs 3, as asked for now" in other.err


@pytest.mark.slow
def test_what_a_video_of_the_glosses_costs(run_script, tmp_path: Path, monkeypatch) -> None:
    """The same sentences with glosses as the input, and with a video of a drawn signer."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "annotations" / "manual"
    folder.mkdir(parents=True)
    rows = [f"x-{number}|x|-1|-1|Signer01|REGEN NORD|im norden regen {number}" for number in (1, 2)]
    for split in ("train", "dev", "test"):
        lines = ["name|video|start|end|speaker|orth|translation", *rows]
        text = "\n".join(lines).replace("x-", f"{split}-") + "\n"
        (folder / f"PHOENIX-2014-T.{split}.corpus.csv").write_text(text)
    where = ["--data", f"phoenix14t-rendered:{tmp_path}", "--output", tmp_path / "runs"]
    size = "--train-clips 1 --epochs 1 --image-size 32 --width 32 --num-workers 0 --device cpu"
    options = ["--seeds", 1, *where, "--", *size.split()]
    finished = run_script("reproduce.py", "--experiment", "phoenix-rendered", *options)
    assert finished.status == 0, finished.out + finished.err
    report = json.loads((tmp_path / "runs" / "report.json").read_text())
    gloss, video = (report["variants"][name] for name in ("gloss", "video"))
    assert "wer" not in gloss["mean"] and video["mean"]["wer"] >= 0
    assert "flops_of_clip" not in gloss and video["flops_of_clip"] > 0
    assert video["runs"][0]["test"]["against"] == "gloss"
    assert gloss["runs"][0]["num_clips"] == video["runs"][0]["num_clips"] == 2
    assert "recipes `gloss-to-text` (gloss), `quickstart` (video)" in finished.out
    assert "| gloss | 1 | 1 | 1 |" in finished.out and "| video | 1 | 1 | 1 |" in finished.out
    assert "24.54 (PHOENIX-2014-T, Camgoz et al., 2020)" in finished.out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_experiment_goes_on_after_a_stop(run_script, tiny, tmp_path: Path, number) -> None:
    arguments = ["--experiment", "rgb-baseline", "--seeds", "1", *tiny, "--epochs", "20"]
    arguments += ["--evaluate-every", "20"]
    run = tmp_path / "runs" / "rgb" / "seed-0"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "reproduce.py"), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # A shell in the background ignores it, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        while process.poll() is None and not (run / "last").exists():
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait() == (130 if number == signal.SIGINT else -number)
    while (run / "training.lock").exists():  # without its parent the training ends as well
        time.sleep(0.01)
    if number == signal.SIGINT:
        assert "stopped: the checkpoint of step" in (run / "train.log").read_text()
    assert not (run / "metrics.json").exists()
    finished = run_script("reproduce.py", *arguments)
    assert finished.status == 0, finished.out + finished.err
    assert "rgb, seed 0: goes on" in finished.out and "rgb, seed 0: done in" in finished.out
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 21))
