import errno
import json
import logging
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from slt_fast.data.batching import batches
from slt_fast.data.errors import DataError
from slt_fast.training import checkpoint, loop
from slt_fast.training.checkpoint import load_model, read_json
from slt_fast.training.config import Recipe
from slt_fast.training.evaluation import Evaluation
from slt_fast.training.loop import Trainer, train
from slt_fast.training.run import RunConfig, load_dataset


def with_training(recipe: Recipe, **settings) -> Recipe:
    return replace(recipe, training=replace(recipe.training, **settings))


@pytest.fixture
def run(tmp_path: Path, manifest: Path) -> RunConfig:
    return RunConfig(data=f"manifest:{manifest}", output=tmp_path / "run")


@pytest.fixture
def trainer(tiny_recipe, run) -> Trainer:
    dataset = load_dataset(tiny_recipe, run.data, "train", None, tiny_recipe.augmentation)
    return Trainer(tiny_recipe, run, dataset, None)


def weights(run: RunConfig, link: str = "last") -> dict[str, torch.Tensor]:
    return load_file(run.output / link / "model.safetensors")


def assert_same_weights(first: RunConfig, second: RunConfig) -> None:
    ours, theirs = weights(first), weights(second)
    for name, value in ours.items():
        assert torch.equal(theirs[name], value), name


def records(run: RunConfig) -> list[dict]:
    return [json.loads(line) for line in (run.output / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_scores_logs_and_checkpoints(tiny_recipe, run) -> None:
    metrics, test = train(tiny_recipe, run)
    assert read_json(run.output / "metrics.json") == metrics
    assert {"test.bleu4", "test.wer", "test.exact_match", "test.seconds_total"} <= metrics.keys()
    assert metrics["test.num_clips"] == len(test.translations) == 2
    assert [clip.id for clip in test.clips] == ["clip7", "clip8"]
    assert [record["epoch"] for record in records(run)] == [1, 2]
    for record in records(run):
        assert record["step"] == 3 * record["epoch"]  # 5 clips, 2 a step
        assert math.isfinite(record["train.ctc"]) and math.isfinite(record["train.text"])
        assert {"dev.bleu4", "dev.wer"} <= record.keys()
    assert list((run.output / "tensorboard").glob("events*"))
    assert read_json(run.output / "last" / "training.json")["epoch"] == 2
    assert load_model(run.output).recipe == tiny_recipe
    assert not (run.output / "skipped.txt").exists()


def test_other_split_names(tiny_recipe, run) -> None:
    run = replace(run, train_split="dev", dev_split="train", test_split="train")
    metrics, _ = train(with_training(tiny_recipe, epochs=1), run)
    assert metrics["train.num_clips"] == 5


def test_follows_the_seed(tiny_recipe, run) -> None:
    first, second, third = (replace(run, output=run.output / name) for name in "abc")
    train(tiny_recipe, first)
    train(tiny_recipe, second)
    assert_same_weights(first, second)
    train(with_training(tiny_recipe, seed=1), third)
    assert not torch.equal(*(next(iter(weights(run).values())) for run in (first, third)))


def scored(monkeypatch, scores: list[float]) -> None:
    """Dev scores as given, one call after the other."""
    calls, real = iter(scores), loop.evaluate

    def evaluate(loaded, dataset, *, beam_size, skip_bad=False) -> Evaluation:
        result = real(loaded, dataset, beam_size=beam_size, skip_bad=skip_bad)
        return replace(result, scores=result.scores | {"bleu4": next(calls)})

    monkeypatch.setattr(loop, "evaluate", evaluate)


def test_keeps_the_checkpoint_that_is_best_on_dev(tiny_recipe, run, monkeypatch) -> None:
    scored(monkeypatch, [10.0, 30.0, 30.0, 20.0, 77.0])
    metrics, _ = train(with_training(tiny_recipe, epochs=4), run)
    assert read_json(run.output / "best" / "training.json")["epoch"] == 2
    assert read_json(run.output / "last" / "training.json")["epoch"] == 4
    assert metrics["dev.bleu4"] == 30 and metrics["test.bleu4"] == 77
    assert len(list((run.output / "checkpoints").iterdir())) == 2


def test_scores_dev_when_asked_and_at_the_end(tiny_recipe, run) -> None:
    train(with_training(tiny_recipe, epochs=5, evaluate_every=2), run)
    assert [record["epoch"] for record in records(run) if "dev.bleu4" in record] == [2, 4, 5]


def test_warns_of_a_model_that_always_says_the_same(tiny_recipe, run, monkeypatch, caplog) -> None:
    real = loop.evaluate

    def evaluate(*arguments, **options) -> Evaluation:
        result = real(*arguments, **options)
        return replace(result, scores=result.scores | {"most_common_share": 1.0})

    monkeypatch.setattr(loop, "evaluate", evaluate)
    train(with_training(tiny_recipe, epochs=1), run)
    assert "more than half of the dev translations are the same sentence" in caplog.text


class BrokenOff(BaseException):
    """A run that stops here and now."""


def break_off(recipe: Recipe, run: RunConfig, steps: int, monkeypatch) -> None:
    """Trains until it has done so many steps."""
    real, done = Trainer.train_step, iter(range(10_000))

    def train_step(self, batch):
        if next(done) == steps:
            raise BrokenOff
        return real(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", train_step)
        with pytest.raises(BrokenOff):
            train(recipe, run)


@pytest.mark.parametrize(
    ("steps", "saved_step", "is_preloaded"),
    [(3, 3, True), (4, 3, True), (4, 4, True), (5, 5, False), (1, 1, False), (0, None, True)],
    ids=["epoch", "back_to_epoch", "within_epoch", "within_last", "within_first", "from_nothing"],
)
def test_a_resumed_run_equals_an_unbroken_one(
    tiny_recipe, run, monkeypatch, steps: int, saved_step: int | None, is_preloaded: bool
) -> None:
    often = saved_step is not None and saved_step % 3 != 0
    recipe = with_training(
        tiny_recipe, preload=is_preloaded, checkpoint_minutes=1e-9 if often else 10.0
    )
    unbroken = replace(run, output=run.output.with_name("unbroken"))
    expected, _ = train(recipe, unbroken)
    break_off(recipe, run, steps, monkeypatch)
    if saved_step:
        assert read_json(run.output / "last" / "training.json")["step"] == saved_step
    torch.manual_seed(123)
    torch.rand(7)  # another process starts from other random states
    metrics, _ = train(recipe, replace(run, resume=True))
    assert_same_weights(run, unbroken)
    for name in expected.keys() - {"test.seconds_total"}:
        assert metrics[name] == expected[name], name
    ours, theirs = records(run)[-1], records(unbroken)[-1]
    assert ours["dev.bleu4"] == theirs["dev.bleu4"] and ours["step"] == theirs["step"]
    assert [record["epoch"] for record in records(run)] == [1, 2]


def test_random_state_matters_for_these_runs(tiny_recipe, run, monkeypatch) -> None:
    """Without it the resumed run would differ: the test above can fail."""
    unbroken = replace(run, output=run.output.with_name("unbroken"))
    train(tiny_recipe, unbroken)
    break_off(tiny_recipe, run, 3, monkeypatch)
    monkeypatch.setattr(torch, "set_rng_state", lambda state: None)
    train(tiny_recipe, replace(run, resume=True))
    with pytest.raises(AssertionError):
        assert_same_weights(run, unbroken)


def test_resuming_a_finished_run_scores_it_again(tiny_recipe, run) -> None:
    first, _ = train(tiny_recipe, run)
    (run.output / "metrics.json").unlink()
    second, _ = train(tiny_recipe, replace(run, resume=True))
    assert second["test.bleu4"] == first["test.bleu4"]
    assert second["test.seconds_total"] > first["test.seconds_total"]
    assert len(records(run)) == 2


def test_a_second_run_moves_the_first_aside(tiny_recipe, run) -> None:
    recipe = with_training(tiny_recipe, epochs=1)
    train(recipe, run)
    train(recipe, run)
    assert len(records(run)) == 1
    assert load_model(run.output.with_name("run.1")).recipe == recipe


@pytest.fixture
def finished(tiny_recipe, run) -> RunConfig:
    train(with_training(tiny_recipe, epochs=1), run)
    return replace(run, resume=True)


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("training", "epochs", 3, r"training\.epochs 1; expected 3, as asked for now"),
        ("training", "learning_rate", 0.5, r"training\.learning_rate 0\.003; expected 0\.5, as"),
        ("training", "seed", 9, r"training\.seed 0; expected 9, as asked for now"),
        ("model", "width", 64, r"model\.width 32; expected 64, as asked for now"),
        ("input", "image_size", 40, r"input\.image_size 32; expected 40, as asked for now"),
        ("augmentation", "zoom", 0.0, r"augmentation\.zoom 0\.1; expected 0\.0, as asked for now"),
    ],
)
def test_resuming_with_other_settings(
    tiny_recipe, finished, part: str, name: str, value: object, message: str
) -> None:
    recipe = with_training(tiny_recipe, epochs=1)
    recipe = replace(recipe, **{part: replace(getattr(recipe, part), **{name: value})})
    with pytest.raises(DataError, match=rf"checkpoints|last.*: found {message}") as caught:
        train(recipe, finished)
    assert len(str(caught.value)) < 300


def test_resuming_on_another_machine(tiny_recipe, finished) -> None:
    recipe = with_training(tiny_recipe, epochs=1, preload=False, checkpoint_minutes=1.0)
    metrics, _ = train(recipe, finished)
    assert "test.bleu4" in metrics


def test_resuming_with_other_data(tiny_recipe, finished) -> None:
    with pytest.raises(DataError, match="found other words or glosses; expected those of the tr"):
        train(with_training(tiny_recipe, epochs=1), replace(finished, train_split="dev"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("training.json", '{"epoch": 1', r"training\.json: found .*; expected a JSON file"),
        ("training.json", '{"epochs": 1}', "unexpected keyword .*; expected the state that slt"),
        ("training.safetensors", "", r"training\.safetensors: found .*; expected a whole saf"),
        ("training.safetensors", None, r"training\.safetensors: found no such file"),
        ("model.safetensors", None, r"model\.safetensors: found no such file"),
    ],
)
def test_resuming_from_a_broken_checkpoint(tiny_recipe, finished, name, content, message) -> None:
    path = finished.output / "last" / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        train(with_training(tiny_recipe, epochs=1), finished)


def test_resuming_from_the_wrong_tensors(tiny_recipe, finished) -> None:
    last = finished.output / "last"
    shutil.copy(last / "model.safetensors", last / "training.safetensors")
    with pytest.raises(DataError, match=r"found no 'random\.cpu'.*; expected the state that slt"):
        train(with_training(tiny_recipe, epochs=1), finished)


def test_resuming_from_a_link_to_nothing(tiny_recipe, finished) -> None:
    shutil.rmtree(finished.output / "checkpoints")
    with pytest.raises(DataError, match="last: found nothing; expected a checkpoint's folder"):
        train(with_training(tiny_recipe, epochs=1), finished)


def test_disk_full_leaves_the_checkpoint_before(tiny_recipe, run, monkeypatch) -> None:
    recipe, calls, real = (
        with_training(tiny_recipe, epochs=3),
        iter(range(99)),
        checkpoint.save_file,
    )

    def full(tensors, path):
        if next(calls) >= 3:  # the second tensors of the second checkpoint
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(OSError, match=r"step-00000006.*No space left on device"):
            train(recipe, run)
    assert len(list((run.output / "checkpoints").iterdir())) == 1
    assert read_json(run.output / "last" / "training.json")["epoch"] == 1
    train(recipe, replace(run, resume=True))
    unbroken = replace(run, output=run.output.with_name("unbroken"))
    train(recipe, unbroken)
    assert_same_weights(run, unbroken)


def test_learning_rate(trainer: Trainer) -> None:
    trainer.recipe = with_training(trainer.recipe, epochs=20, learning_rate=0.5)
    rates = [trainer.learning_rate(step) for step in range(60)]  # 3 steps an epoch
    assert rates[:6] == pytest.approx([0.5 * (step + 1) / 6 for step in range(6)])
    assert rates[6] == 0.5 and max(rates) == 0.5
    assert all(first > second for first, second in zip(rates[6:], rates[7:], strict=False))
    assert rates[33] == pytest.approx(0.25) and 0 < rates[-1] < 0.001
    assert trainer.learning_rate(60) == trainer.learning_rate(99) == pytest.approx(0)
    trainer.recipe = with_training(trainer.recipe, schedule="constant")
    assert {trainer.learning_rate(step) for step in range(60)} == {0.5}


def first_batch(trainer: Trainer):
    return next(
        batches(trainer.train_set, trainer.loaded.vocabularies, batch_size=2, shuffle_epoch=None)
    )


def test_a_step_changes_the_weights_and_lowers_the_loss(trainer: Trainer) -> None:
    trainer.recipe = with_training(trainer.recipe, schedule="constant")
    batch, before = first_batch(trainer), trainer.loaded.model.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    losses = [trainer.train_step(batch) for _ in range(12)]
    assert losses[0].keys() == {"ctc", "text"}
    assert trainer.progress.step == 12
    for name, parameter in trainer.loaded.model.named_parameters():
        assert not torch.equal(parameter, before[name]), name
    assert losses[-1]["ctc"] < losses[0]["ctc"] and losses[-1]["text"] < losses[0]["text"]


def test_gradient_is_clipped(trainer: Trainer) -> None:
    trainer.recipe = with_training(trainer.recipe, gradient_clip=1e-3)
    trainer.train_step(first_batch(trainer))
    gradients = [parameter.grad for parameter in trainer.loaded.model.parameters()]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_a_gradient_that_is_not_finite(trainer: Trainer) -> None:
    batch = first_batch(trainer)
    batch.images[0] = math.nan
    weight = next(trainer.loaded.model.parameters()).clone()
    message = r"^step 0, clips clip0, clip1: found a gradient of norm nan .*; expected a finite one"
    with pytest.raises(ValueError, match=message):
        trainer.train_step(batch)
    assert torch.equal(next(trainer.loaded.model.parameters()), weight)


def test_a_batch_without_a_readable_clip(trainer: Trainer) -> None:
    error = DataError("a.mp4", "no such file", "a video")
    batch = replace(first_batch(trainer), clips=(), errors=(error,))
    with pytest.raises(DataError, match=r"a\.mp4: found no such file"):
        trainer.train_step(batch)
    errors: list[DataError] = []
    trainer.on_error = errors.append
    assert trainer.train_step(batch) == {} and errors == [error]
    assert trainer.progress.step == 0


def test_data_without_glosses(tiny_recipe, run, manifest: Path, tmp_path: Path) -> None:
    text = manifest.read_text().replace("id,video,gloss,", "id,video,other,")
    path = tmp_path / "manifest.csv"
    path.write_text(text.replace(",clip", f",{manifest.parent}/clip"))
    metrics, test = train(tiny_recipe, replace(run, data=f"manifest:{path}"))
    assert "test.bleu4" in metrics and "test.wer" not in metrics
    assert all("train.ctc" not in record for record in records(run))
    assert all(not translation.glosses for translation in test.translations)


def test_rgb_input(tiny_recipe, run) -> None:
    recipe = replace(tiny_recipe, input=replace(tiny_recipe.input, input="rgb"))
    metrics, _ = train(with_training(recipe, epochs=1), run)
    assert "test.bleu4" in metrics and load_model(run.output).recipe.input.input == "rgb"


@pytest.mark.parametrize("split", ["train_split", "dev_split", "test_split"])
def test_an_unknown_split_is_told_before_the_training(tiny_recipe, run, split: str) -> None:
    message = r"manifest\.csv: found no split 'valid'; expected one of train, dev, test"
    with pytest.raises(DataError, match=message):
        train(tiny_recipe, replace(run, **{split: "valid"}))
    assert not (run.output / "last").exists()


@pytest.fixture
def damaged(run, manifest: Path, tmp_path: Path) -> RunConfig:
    """A manifest in which something is wrong with each of four training clips and one of dev."""
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(20) + b"\0\0\xff\xffmdat")
    lines = manifest.read_text().replace(",clip", f",{manifest.parent}/clip").splitlines()
    some = f"{manifest.parent}/clip1"
    lines[1:1] = [
        "few,fields",
        "gone,gone.mp4,A,text,train",
        "truncated,clip.mp4,A,text,train",
        f"silent,{some},A,,train",
        f"short,{some},{' '.join('A' * 30)},text,dev",
    ]
    path = tmp_path / "damaged.csv"
    path.write_text("\n".join(lines) + "\n")
    return replace(run, data=f"manifest:{path}", skip_bad=True)


MESSAGES = [
    r"damaged\.csv:2: found 2 fields; expected 5",
    r"damaged\.csv:3: found video 'gone\.mp4', which does not exist; expected a video file",
    r"damaged\.csv:5: found no text; expected a value for text",
    r"clip\.mp4: found \d+ bytes; expected \d+ bytes, as its container declares",
    r"damaged\.csv:6: found \d+ frames in clip 'short'; expected at least 59, as CTC needs for 30",
]


@pytest.mark.parametrize("is_preloaded", [True, False])
def test_bad_clips_are_left_out_and_listed(
    tiny_recipe, damaged, caplog, is_preloaded: bool
) -> None:
    recipe = with_training(tiny_recipe, preload=is_preloaded, epochs=1)
    metrics, _ = train(recipe, damaged)
    lines = (damaged.output / "skipped.txt").read_text().splitlines()
    assert len(lines) == len(MESSAGES)
    for message in MESSAGES:
        (line,) = [line for line in lines if re.search(message, line)]
        assert f"left out: {line}" in caplog.text
    assert metrics["test.num_clips"] == 2
    assert read_json(damaged.output / "last" / "training.json")["step"] == 3


def test_without_skip_bad_the_first_bad_line_stops(tiny_recipe, damaged) -> None:
    with pytest.raises(DataError, match=MESSAGES[0]):
        train(tiny_recipe, replace(damaged, skip_bad=False))
    assert not (damaged.output / "last").exists()


def test_progress_is_logged(tiny_recipe, run, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="slt_fast"):
        train(with_training(tiny_recipe, epochs=1), run)
    assert "epoch 1: train.ctc " in caplog.text and "dev.bleu4 " in caplog.text
