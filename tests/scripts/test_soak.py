"""The parts of scripts/soak.py can fail; and a short soak with every fault."""

import importlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from slt_fast.checkpoint import checkpoint_folder
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError
from tests.data.test_loader_processes import can_mount

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def part(monkeypatch):
    """Imports a part of the soak, as the script does."""
    monkeypatch.syspath_prepend(ROOT / "scripts")

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"fault_injection.{name}")

    return load


@pytest.fixture
def two_runs(checkpoint: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A run and its copy, which differ in seconds."""
    runs = tmp_path / "first", tmp_path / "second"
    for seconds, run in enumerate(runs):
        shutil.copytree(checkpoint, run)
        state = {"exp_avg": torch.ones(3), "step": torch.tensor(2.0)}
        save_file(state, checkpoint_folder(run) / "training.safetensors")
        progress = {"step": 2, "seconds": seconds}
        (checkpoint_folder(run) / "training.json").write_text(json.dumps(progress))
        record = {"epoch": 1, "train.text": 0.5, "seconds": seconds}
        (run / "metrics.jsonl").write_text(json.dumps(record) + "\n")
        scores = {"test.bleu4": 1.0, "test.seconds_total": seconds}
        (run / "metrics.json").write_text(json.dumps(scores))
    return runs


def test_runs_that_differ_in_times_only_are_equal(part, two_runs) -> None:
    assert part("comparison").differences(*two_runs) == []


@pytest.mark.parametrize("value", ["bit", "minus_zero", "type", "missing"])
def test_another_bit_is_found(part, two_runs, value: str) -> None:
    path = checkpoint_folder(two_runs[1]) / "model.safetensors"
    weights = load_file(path)
    name = "decoder.embedding.weight"
    if value == "bit":
        weights[name].view(torch.int32)[0, 0] ^= 1
    elif value == "minus_zero":
        weights[name][0, 0], before = -0.0, load_file(path)
        before[name][0, 0] = 0.0
        save_file(before, checkpoint_folder(two_runs[0]) / "model.safetensors")
    elif value == "type":
        weights[name] = weights[name].double()
    else:
        del weights[name]
    save_file(weights, path)
    message = {"type": "has another type", "missing": "is in one of them"}.get(
        value, "differs in 1"
    )
    found = part("comparison").differences(*two_runs)
    assert len(found) == 2 and all(f"model.safetensors: {name} {message}" in line for line in found)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("metrics.jsonl", "0.5", "0.25"),
        ("metrics.jsonl", "\n", '\n{"epoch": 2}\n'),
        ("metrics.json", "1.0", "1.5"),
        ("training.json", "2", "3"),
    ],
)
def test_another_figure_is_found(part, two_runs, name: str, old: str, new: str) -> None:
    folder = checkpoint_folder(two_runs[1]) if name == "training.json" else two_runs[1]
    (folder / name).write_text((folder / name).read_text().replace(old, new, 1))
    found = part("comparison").differences(*two_runs)
    assert found and all(name in line for line in found)


def test_another_state_of_the_optimiser_is_found(part, two_runs) -> None:
    path = checkpoint_folder(two_runs[0]) / "training.safetensors"
    save_file({"exp_avg": torch.ones(3), "step": torch.tensor(3.0)}, path)
    found = part("comparison").differences(*two_runs)
    assert [line.partition(":")[0] for line in found] == [
        f"{pointer}/training.safetensors" for pointer in ("best", "last")
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_has_every_fault_at_rising_steps(part, seed: int) -> None:
    plan, faults = part("plan"), part("faults").FAULTS

    def draw() -> tuple[list, list[int]]:
        source = random.Random(seed)
        times = {"step_seconds": 0.5, "start_seconds": 7.0}
        counts = {"number": 40, "steps": 900, "rest": 100}
        planned = plan.plan_faults(source, [*faults], ["kill -9"], **counts, **times)
        return planned, plan.plan_nan(source, 900)

    moments, nan_steps = draw()
    assert (moments, nan_steps) == draw()
    at_steps = [moment for moment in moments if moment.step is not None]
    steps = [moment.step for moment in at_steps]
    assert len(steps) == 40 and steps == sorted(steps) and steps[0] >= 0 and steps[-1] < 800
    assert all(moment.step <= moment.latest <= 800 for moment in at_steps)
    assert {moment.fault for moment in at_steps[: len(faults)]} == {*faults}
    assert len(moments) > 40 and all(moment.delay <= 7 for moment in moments)
    assert {moment.fault for moment in moments if moment.step is None} == {"kill -9"}
    assert nan_steps == sorted({*nan_steps}) and nan_steps[0] >= 0 and nan_steps[-1] < 900
    assert any(step + 1 in nan_steps for step in nan_steps)


def test_damaged_clips_are_refused_and_restored(part, tmp_path: Path, monkeypatch) -> None:
    clips = part("clips")
    monkeypatch.setattr(clips, "NUM_CLIPS", {"train": 2})
    clips.write_data_set(tmp_path, 0)
    before = contents(tmp_path)
    damages = set()
    for seed in range(12):
        path, damage, restore = clips.damage_clip(tmp_path, random.Random(seed))
        clip = path if path.suffix == ".mp4" else path.parent
        with pytest.raises(DataError, match=str(path)):
            VideoSource(clip).read()
        restore()
        assert contents(tmp_path) == before
        damages.add((path.suffix, damage))
    assert damages == {(".mp4", "truncated"), (".png", "truncated"), (".png", "a third zeroed")}


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


@pytest.fixture
def ended(part):
    """Makes trainings that end with a status, and have printed lines before and at the end."""

    class Ended(part("training").Training):
        process, _log = 7, "run.log"

        def __init__(self, status: int, lines: list[str], last_lines: Sequence[str] = ()) -> None:
            self.found, self.lines, self.last_lines = status, [*lines], last_lines

        def send(self, *_: object, **__: object) -> None:
            pass

        def end(self) -> int:
            self.lines += self.last_lines
            return self.found

    return Ended


@pytest.mark.parametrize(
    ("status", "lines", "message"),
    [
        (137, [], "found status 137"),
        (1, ["error: out of patience\n"], "found status 1"),
        (143, ["error: no\n"], "expected no error"),
        (143, ["Traceback (most recent call last):\n"], "found a traceback"),
    ],
)
def test_an_end_that_is_not_promised_is_found(
    part, ended, status: int, lines: list, message: str
) -> None:
    terminate, place = part("faults").FAULTS["SIGTERM"], SimpleNamespace(draw=random.Random(0))
    with pytest.raises(part("training").Unexpected, match=message):
        terminate(ended(status, lines), place)
    assert terminate(ended(143, ["begins step 3\n"]), place).took_effect
    assert not terminate(ended(0, []), place).took_effect


def test_what_a_killed_training_leaves_behind_may_complain(part, ended) -> None:
    kill, place = part("faults").FAULTS["kill -9"], SimpleNamespace(draw=random.Random(0))
    traceback = ["Traceback (most recent call last):\n"]
    assert kill(ended(137, [], last_lines=traceback), place).took_effect
    with pytest.raises(part("training").Unexpected, match="found a traceback"):
        kill(ended(137, traceback), place)


@pytest.mark.parametrize("pause", [0.1, 3])
def test_patience_ends_with_silence_not_with_time(part, tmp_path, monkeypatch, pause) -> None:
    module, program = part("training"), tmp_path / "program"
    program.write_text(f"#!/bin/sh\nfor number in $(seq 15); do echo; sleep {pause}; done\n")
    program.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(program))
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 1.0)
    training = module.Training([], [], tmp_path / "log")
    try:
        if pause == 0.1:
            assert training.end() == 0 and training.seconds() > 1
        else:
            with pytest.raises(module.Unexpected, match="found no end, but 1 seconds without a"):
                training.end()
    finally:
        training.close()


def test_a_large_disk_is_not_filled(part, tmp_path: Path, monkeypatch) -> None:
    disk = part("disk")
    status = SimpleNamespace(f_blocks=2**19, f_frsize=4096)
    monkeypatch.setattr(disk.os, "statvfs", lambda _: status)
    message = "found a file system of 2048 MiB; expected at most 1024 MiB"
    with pytest.raises(DataError, match=message), disk.filled(tmp_path):
        pass
    assert not any(tmp_path.iterdir())


def test_only_empty_folders_are_taken(part, run_script, tmp_path: Path) -> None:
    part("disk")  # the script's own folder is found, as when Python runs it
    (tmp_path / "clips").mkdir()
    finished = run_script("soak.py", "--output", tmp_path)
    assert finished.status == 1
    assert f"{tmp_path}: found clips in it; expected an empty folder" in finished.err


def test_a_machine_without_namespaces_says_what_to_do(
    part, run_script, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(part("disk").shutil, "which", lambda _: None)
    finished = run_script("soak.py", "--output", tmp_path / "soak")
    assert finished.status == 1
    assert "found no command unshare, which would mount one; expected --small-disk" in finished.err
    assert not any((tmp_path / "soak").iterdir())


@pytest.mark.slow
@pytest.mark.skipif("SLT_FAST_SOAK" not in os.environ, reason="SLT_FAST_SOAK=1 runs the soak")
@pytest.mark.skipif(not can_mount(), reason="needs user namespaces to mount a small disk")
def test_a_short_soak(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "scripts" / "soak.py"),
        "--output",
        str(tmp_path / "soak"),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = ["--minutes", "1", "--epochs", "10"]
    finished = subprocess.run(
        [*command, *options], capture_output=True, text=True, env=environment, timeout=3600
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    lines = finished.stdout.splitlines()
    assert lines[-1] == "equal to the bit"
    for fault in ("kill -9", "SIGTERM", "corrupt clip", "full disk", "killed loader"):
        (count,) = [int(item.split()[-1]) for item in lines[-2].split(", ") if fault in item]
        assert count >= 1, lines[-2]
