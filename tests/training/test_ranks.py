"""Two processes on one CPU train as one does."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from slt_fast.checkpoint import checkpoint_folder
from slt_fast.files import read_json
from slt_fast.recipe import Recipe
from slt_fast.training.loop import train
from slt_fast.training.ranks import Ranks
from slt_fast.training.run import RunConfig

ROOT = Path(__file__).resolve().parents[2]
TIMES = ("seconds", "frames_a_second", "seconds_a_step")
# Batch norm by the clips beside a clip, and dropout of its own in each process, would differ.
EQUAL = {"batch_norm": "frozen", "epochs": 2, "batch_size": 3, "preload": False, "num_workers": 0}
EQUAL["precision"] = "float32"  # whose rounding is small enough to compare


def recipe_of(recipe: Recipe, **settings) -> Recipe:
    model = replace(recipe.model, dropout=0.0)
    return replace(recipe, model=model, training=replace(recipe.training, **settings))


def train_as(rank: int, port: int, recipe: Recipe, run: RunConfig, number: int = 2) -> None:
    """Trains as torchrun's process of this rank."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(number), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    train(recipe, run)


def train_together(recipe: Recipe, run: RunConfig) -> list[int | None]:
    """Trains in two processes; returns their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=train_as, args=(n, port, recipe, run)) for n in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(300)
    return [process.exitcode for process in ranks]


def records(run: RunConfig) -> list[dict]:
    return [json.loads(line) for line in (run.output / "metrics.jsonl").read_text().splitlines()]


def losses(run: RunConfig) -> list[dict[str, float]]:
    return [
        {k: v for k, v in record.items() if isinstance(v, float) and k not in TIMES}
        for record in records(run)
    ]


def weights(run: RunConfig) -> dict[str, torch.Tensor]:
    return load_file(checkpoint_folder(run.output / "last") / "model.safetensors")


def without_key_bias(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Drops the bias of keys: softmax does not feel it, and Adam enlarges its rounding errors."""
    if not name.endswith("in_proj_bias"):
        return tensor
    query, _, value = tensor.chunk(3)
    return torch.cat([query, value])


@pytest.mark.parametrize(
    "settings",
    [{}, pytest.param({"frames_per_step": 30, "frames_at_once": 10}, marks=pytest.mark.slow)],
)
def test_losses_weights_and_scores_are_those_of_one_process(tiny_recipe, run, settings) -> None:
    """The last step of an epoch has fewer clips than processes need."""
    recipe = recipe_of(tiny_recipe, **EQUAL, **settings)
    alone, together = (replace(run, output=run.output / name) for name in ("one", "two"))
    metrics, _ = train(recipe, alone)
    assert train_together(recipe, together) == [0, 0]
    for ours, theirs in zip(losses(together), losses(alone), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    others = weights(alone)
    for name, value in weights(together).items():
        ours, theirs = (without_key_bias(name, tensor) for tensor in (value, others[name]))
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4, msg=name)
    shared = read_json(together.output / "metrics.json")
    for name, value in metrics.items():
        if name in ("test.text", "test.ctc"):  # the weights differ by rounding
            assert shared[name] == pytest.approx(value, rel=1e-4)
        elif name != "test.seconds_total":
            assert shared[name] == value, name


@pytest.mark.slow
def test_torchrun_starts_a_killed_process_again(tiny_recipe, run, manifest, tmp_path) -> None:
    """The second attempt goes on from the last checkpoint, and ends as an unbroken run does."""
    options = ["--data", f"manifest:{manifest}", "--resume", "--epochs", "12", "--batch-size", "2"]
    options += ["--no-preload", "--num-workers", "0", "--image-size", "32", "--flow-preset", "fast"]
    options += ["--backbone-stages", "1", "--width", "32", "--decoder-layers", "1"]
    options += ["--decoder-feed-forward", "32", "--schedule", "constant"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc-per-node", "2", "--max-restarts", "2", "scripts/train.py", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for name in ("unbroken", "killed"):
        output = tmp_path / name
        output.mkdir()
        with open(tmp_path / f"{name}.log", "w") as log:
            program = subprocess.Popen(
                [*launcher, "--output", output], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
            if name == "killed":
                kill_one(program.pid, when=output / "last")
            assert program.wait(300) == 0, (tmp_path / f"{name}.log").read_text()
    text = (tmp_path / "killed.log").read_text()
    assert "exitcode: -9" in text
    ours, theirs = (replace(run, output=tmp_path / name) for name in ("killed", "unbroken"))
    others = weights(theirs)
    for name, value in weights(ours).items():
        assert torch.equal(value, others[name]), name
    assert [record["epoch"] for record in records(ours)] == [*range(1, 13)]


def kill_one(launcher: int, when: Path) -> None:
    """Kills the second process of a launcher once there is a checkpoint."""
    for _ in range(1200):
        if os.path.lexists(when):
            break
        time.sleep(0.05)
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGKILL)


def test_a_process_without_clips_and_bad_clips_of_both(tiny_recipe, run, own_manifest) -> None:
    text = own_manifest.read_text().replace("clip1,clip1,", "clip1,gone,")
    own_manifest.write_text(text.replace("clip6,clip6,", "clip6,missing,"))
    run = replace(run, data=f"manifest:{own_manifest}", skip_bad=True)
    recipe = recipe_of(tiny_recipe, **{**EQUAL, "batch_size": 1})
    assert train_together(recipe, run) == [0, 0]
    lines = (run.output / "skipped.txt").read_text().splitlines()
    assert len(lines) == 2 and "gone" in lines[0] and "missing" in lines[1]
    assert len(losses(run)) == 2


def test_a_clip_that_only_another_process_reads_is_listed(tiny_recipe, run, own_manifest) -> None:
    """The longest clip of a step is the first process's, the next one the second's."""
    text = own_manifest.read_text()
    folders = [own_manifest.parent / f"clip{number}" for number in range(5)]
    _, second, *_ = sorted(folders, key=lambda folder: -len([*folder.iterdir()]))
    frame = max(second.iterdir())
    frame.write_bytes(frame.read_bytes()[:-20] + bytes(20))
    assert f",{second.name}," in text
    run = replace(run, data=f"manifest:{own_manifest}", skip_bad=True)
    recipe = recipe_of(tiny_recipe, **{**EQUAL, "batch_size": 5, "epochs": 1})
    assert train_together(recipe, run) == [0, 0]
    assert second.name in (run.output / "skipped.txt").read_text()


def test_a_resumed_run_equals_an_unbroken_one(tiny_recipe, run) -> None:
    """With dropout and batch norm by the clips of each process."""
    training = replace(tiny_recipe.training, epochs=2)
    recipe = replace(tiny_recipe, training=training)
    first = replace(recipe, training=replace(training, epochs=1, schedule="constant"))
    second = replace(recipe, training=replace(training, schedule="constant"))
    unbroken = replace(run, output=run.output / "unbroken")
    broken = replace(run, output=run.output / "broken")
    assert train_together(second, unbroken) == [0, 0]
    assert train_together(first, broken) == [0, 0]
    assert train_together(second, replace(broken, resume=True)) == [0, 0]
    others = weights(unbroken)
    for name, value in weights(broken).items():
        assert torch.equal(value, others[name]), name


def test_one_process_needs_no_messages(tmp_path: Path) -> None:
    ranks, values = Ranks(), torch.tensor([1.0, 2.0])
    ranks.sum(values)
    assert values.tolist() == [1, 2] and ranks.gather("x") == ["x"]
    assert ranks.any(True, False) == (True, False) and ranks.share([3, 1], [1] * 4) == [3, 1]
