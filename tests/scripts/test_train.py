import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slt_fast.checkpoint import checkpoint_folder, load_model, load_tensors
from slt_fast.files import read_json
from slt_fast.ops.extension import cuda_refusal
from slt_fast.training.datasets import read_splits
from slt_fast.training.run import RunConfig
from slt_fast.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]
BY_HEART = (
    "--learning-rate 3e-3 --dropout 0 --label-smoothing 0 --zoom 0 --shift 0 --vigour 0 "
    "--frame-dropout 0 --gradient-dropout 0 --feed-forward standard --precision float32 "
    "--flow-bound 4 --memory-map-size 7 7"
)


def test_two_videos_are_learnt_by_heart(
    run_script, tiny_options, data_options, manifest: Path, tmp_path: Path, one_thread
) -> None:
    """From video files to a checkpoint to the sentences that scripts/translate.py prints."""
    run = tmp_path / "run"
    pace = ["--epochs", 60, "--evaluate-every", 60]
    options = [*tiny_options, *data_options, *BY_HEART.split(), *pace]
    finished = run_script("train.py", *options, "--output", run)
    assert finished.status == 0, finished.err
    assert "did you see the red dog ?" in finished.out  # an example, beside its translation
    assert f"python scripts/translate.py VIDEO --checkpoint {run / 'best'}\n" in finished.out
    assert "To try next:\n  . .venv/bin/activate\n" in finished.out
    assert f"--dev-split=train --test-split=train --output {run}-rgb\n" in finished.out
    assert "nrefs:1|case:lc" in finished.out
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["train.bleu4"] == pytest.approx(100)
    assert metrics["train.exact_match"] == 100 and metrics["train.wer"] == 0
    assert metrics["train.seconds_total"] > 0
    expected = {
        "first.mp4": "the mother is asleep .\nglosses: MOTHER SLEEP\n",
        "second": "did you see the red dog ?\nglosses: DOG RED SEE\n",
    }
    for name, lines in expected.items():
        translated = run_script("translate.py", manifest.parent / name, "--checkpoint", run)
        assert (translated.status, translated.out) == (0, lines)


@pytest.mark.slow
def test_real_videos_are_learnt_by_heart(
    run_script, tiny_options, shared_data: Path, tmp_path: Path, one_thread
) -> None:
    """Two of the real files, to the true sentence and the label that translate.py prints."""
    (tmp_path / "clips").symlink_to(shared_data / "clips")
    first, second = "clips/dailymoth/0043626-2023.1.4.gif", "clips/lsat/clip2.gif"
    said = {first: "a major concern is landslides in mountainous areas ."}
    said[second] = "argentinian clip two ."
    rows = [f"{number},{video},{text}" for number, (video, text) in enumerate(said.items())]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,video,text", *rows]) + "\n")
    run = tmp_path / "run"
    where = ["--data", f"manifest:{tmp_path / 'manifest.csv'}", "--output", run]
    where += ["--dev-split", "train", "--test-split", "train"]
    pace = ["--epochs", 80, "--evaluate-every", 80, "--learning-rate", 2e-3]
    finished = run_script("train.py", *tiny_options, *BY_HEART.split(), *where, *pace)
    assert finished.status == 0, finished.err
    for video, text in said.items():
        translated = run_script("translate.py", tmp_path / video, "--checkpoint", run)
        expected = f"{text}\nglosses: none (the model was trained without)\n"
        assert (translated.status, translated.out) == (0, expected)


def test_real_phoenix_sentences_rendered(
    run_script, tiny_options, shared_data: Path, tmp_path: Path
) -> None:
    """Real annotations, rendered into the official layout, train for a few steps and evaluate."""
    annotations = shared_data / "phoenix14t/annotations/manual/PHOENIX-2014-T.dev.corpus.csv"
    data, run = tmp_path / "data", tmp_path / "run"
    size = ["--width", "64", "--height", "80"]
    rendered = run_script(
        "render_synthetic.py", "--annotations", annotations, "--output", data, "--limit", 4, *size
    )
    assert rendered.status == 0, rendered.err
    where = ["--data", f"phoenix14t:{data}"]
    splits = ["--train-split", "dev", "--dev-split", "dev", "--test-split", "dev"]
    finished = run_script(
        "train.py", *tiny_options, *where, *splits, "--epochs", 1, "--output", run
    )
    assert finished.status == 0, finished.err
    record = json.loads((run / "metrics.jsonl").read_text())
    assert record["step"] == 2 and record["train.ctc"] > 0
    assert json.loads((run / "metrics.json").read_text())["dev.num_clips"] == 4
    scored = run_script("evaluate.py", "--checkpoint", run, *where, "--split", "dev")
    assert scored.status == 0, scored.err
    assert json.loads(scored.out)["dev.num_clips"] == 4


def test_real_frames_that_are_too_few(
    run_script, tiny_options, shared_data: Path, tmp_path: Path, caplog
) -> None:
    """The two real frames, with the 11 glosses of their whole clip, are refused by name."""
    real = shared_data / "clips" / "phoenix14t_frames"
    name = "PHOENIX-2014-T.test.corpus.csv"
    clip = (real / name).read_text(encoding="utf-8").splitlines()[1].split("|")[0]
    (tmp_path / "annotations" / "manual").mkdir(parents=True)
    (tmp_path / "annotations" / "manual" / name).symlink_to(real / name)
    frames = tmp_path / "features" / "fullFrame-210x260px" / "test" / clip
    frames.mkdir(parents=True)
    for number in (1, 2):
        (frames / f"images000{number}.png").symlink_to(real / f"images000{number}.png")
    splits = ["--train-split", "test", "--dev-split", "test", "--test-split", "test"]
    options = ["--data", f"phoenix14t:{tmp_path}", *splits, "--output", tmp_path / "run"]
    for preload in ("--preload", "--no-preload"):
        finished = run_script("train.py", *tiny_options, *options, preload)
        assert finished.status == 1
        (line,) = [line for line in finished.err.splitlines() if line.startswith("error: ")]
        assert f"{name}:2: found 2 frames in clip '{clip}'; expected at least 11" in line
    finished = run_script("train.py", *tiny_options, *options, "--skip-bad")
    assert "found no readable clip in 'test'; expected at least one" in finished.err
    assert f"left out: {tmp_path}" in caplog.text and f"clip '{clip}'" in caplog.text
    assert not (tmp_path / "run").exists()


def test_resuming_takes_the_settings_of_the_run(
    run_script, tiny_options, data_options, tmp_path: Path
) -> None:
    place = ["--output", tmp_path / "run"]
    arguments = [*tiny_options, *data_options, *place, "--epochs", 1]
    finished = run_script("train.py", *arguments)
    assert finished.status == 0, finished.err
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())
    again = run_script("train.py", "--resume", *place)
    assert again.status == 0, again.err
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found.keys() == scores.keys() and found["train.num_clips"] == 2
    other = run_script("train.py", "--resume", *place, "--width", 64)
    assert other.status == 1 and "found model.width 32; expected 64, as asked" in other.err


def test_options_override_the_recipe(run_script, tiny_options, data_options, tmp_path) -> None:
    options = ["--epochs", "1", "--input", "rgb", "--no-preload", "--output", tmp_path / "run"]
    finished = run_script(
        "train.py", "--recipe", "quickstart", *tiny_options, *data_options, *options
    )
    assert finished.status == 0, finished.err
    recipe = load_model(tmp_path / "run").recipe
    assert (recipe.training.epochs, recipe.input.input, recipe.model.width) == (1, "rgb", 32)
    assert not recipe.training.preload


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--flavour", "vanilla"], 2, "--flavour"),
        (["--recipe", "quick"], 2, "quick"),
        (["--epochs", "many"], 2, "many"),
        (["--schedule", "linear"], 2, "linear"),
        (["--epochs", "0"], 2, "epochs: found 0; expected at least 1"),
        (["--width", "30"], 2, "width: found 30; expected a multiple of"),
        (["--flow-preset", "x"], 2, "flow_preset: found 'x'; expected one of"),
        pytest.param(
            ["--flow-backend", "cuda"],
            2,
            "optical_flow: backend 'cuda' cannot run",
            marks=pytest.mark.skipif(cuda_refusal() is None, reason="here the backend can run"),
        ),
        (["--memory-budget", "12"], 2, "memory_budget: found '12'; expected a number and a unit"),
        (["--memory-budget", "1GB"], 1, "expected at most the --memory-budget of 1 GB"),
        (["--device", "gpu"], 1, "error: device: found 'gpu'; expected auto or one"),
        (
            ["--data", "folder:x"],
            1,
            "error: data: found 'folder:x'; expected synthetic[-agreement][:SEED], ",
        ),
        (
            ["--dev-split", "valid"],
            1,
            "manifest.csv: found no split 'valid'; expected one of train, as with --dev-split",
        ),
        (["--backbone-weights", "gone.pth"], 1, "error: gone.pth: found no such file; expected im"),
        (["--resume"], 1, "run: found no such folder; expected the folder of a run to go on with"),
    ],
)
def test_bad_options(
    run_script, tiny_options, data_options, tmp_path, options, status: int, message: str
) -> None:
    place = ["--output", tmp_path / "run"]
    finished = run_script("train.py", *tiny_options, *data_options, *place, *options)
    assert finished.status == status, finished.err
    assert message in " ".join(finished.err.split())
    assert not (tmp_path / "run" / "last").exists()


def whole(run: Path) -> int:
    """The step of the last checkpoint, after a look at every file that a run has written."""
    for link in ("last", "best"):
        if (run / link).exists():
            load_model(run / link)
            load_tensors(checkpoint_folder(run / link) / "training.safetensors")
    for path in run.glob("*.json*"):
        assert all(json.loads(line) for line in path.read_text().splitlines())
    return read_json(checkpoint_folder(run / "last") / "training.json")["step"]


def killed(arguments: list[str], run: Path, first_step: int) -> None:
    """Trains in a process of its own and kills it at a random moment, once it has gone on."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
    )
    try:
        while process.poll() is None:
            time.sleep(0.01)
            if os.path.lexists(run / "last") and step_of(run) > first_step:
                time.sleep(random.uniform(0, 0.5))
                break
        assert process.poll() is None, process.stderr.read().decode()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()


def step_of(run: Path) -> int:
    """The step in the name of the last checkpoint."""
    return int(checkpoint_name(run).removeprefix("step-").split(".")[0])


def checkpoint_name(run: Path) -> str:
    return checkpoint_folder(run / "last").name


@pytest.mark.slow
def test_killed_at_random_moments(tiny_options, data_options, tmp_path: Path) -> None:
    """kill -9 leaves a checkpoint that is whole, and --resume goes on from it."""
    run = tmp_path / "run"
    often = ["--epochs", "5000", "--checkpoint-minutes", "1e-9", "--output", str(run)]
    arguments = [*tiny_options, *data_options, *often]
    killed(arguments, run, 0)
    first = whole(run)
    assert first > 0
    killed([*arguments, "--resume"], run, first)
    second = whole(run)
    assert second > first
    trained = load_model(checkpoint_folder(run / "last"))
    recipe, fps = trained.recipe, trained.trained_on.fps
    config = RunConfig(data_options[1], run, True, False, "train", "train", "train", fps=fps)
    _, (train_set, *_) = read_splits(recipe, config)
    trainer = Trainer(recipe, config, train_set, None)
    trainer.resume()
    assert trainer.progress.step == second
    while trainer.progress.step == second:
        trainer.train_epoch()  # of which nothing may be left
        trainer.progress.epoch, trainer.progress.batch = trainer.progress.epoch + 1, 0
    trainer.save("last")
    assert whole(run) == second + 1
    links = [run / link for link in ("last", "previous", "best")]
    kept = {checkpoint_folder(link) for link in links if link.exists()}
    assert set((run / "checkpoints").iterdir()) == kept
