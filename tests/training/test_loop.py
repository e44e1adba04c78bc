import json
import logging
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from slt_fast.checkpoint import checkpoint_folder, latest_checkpoint, load_model
from slt_fast.data.batching import Batch, batches
from slt_fast.data.flow_cache.cache import open_flow_cache
from slt_fast.data.text import TextConfig
from slt_fast.errors import DataError, UserError
from slt_fast.files import read_json
from slt_fast.metrics import Score
from slt_fast.recipe import Recipe
from slt_fast.training import loop
from slt_fast.training import trainer as trainer_module
from slt_fast.training.datasets import read_splits
from slt_fast.training.evaluation import Evaluation
from slt_fast.training.loop import train
from slt_fast.training.progress import read_progress
from slt_fast.training.run import RunConfig
from slt_fast.training.state import pack_state
from slt_fast.training.trainer import Trainer


def with_search(recipe: Recipe, **settings) -> Recipe:
    return replace(recipe, search=replace(recipe.search, **settings))


def with_training(recipe: Recipe, **settings) -> Recipe:
    return replace(recipe, training=replace(recipe.training, **settings))


@pytest.fixture
def trainer(tiny_recipe, run) -> Trainer:
    _, (train_set, *_) = read_splits(tiny_recipe, run)
    return Trainer(tiny_recipe, run, train_set, None)


def weights(run: RunConfig, link: str = "last") -> dict[str, torch.Tensor]:
    return load_file(checkpoint_folder(run.output / link) / "model.safetensors")


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
    for name in ("test.bleu4", "test.wer", "test.exact_match"):
        assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    assert metrics["test.num_clips"] == len(test.translations) == 2
    assert [clip.id for clip in test.clips] == ["clip7", "clip8"]
    assert [record["epoch"] for record in records(run)] == [1, 2]
    for record in records(run):
        assert record["step"] == 3 * record["epoch"]  # 5 clips, 2 a step
        assert math.isfinite(record["train.ctc"]) and math.isfinite(record["train.text"])
        assert {"dev.bleu4", "dev.wer"} <= record.keys()
    assert list((run.output / "tensorboard").glob("events*"))
    assert read_json(checkpoint_folder(run.output / "last") / "training.json")["epoch"] == 2
    assert load_model(run.output).recipe == tiny_recipe
    assert not (run.output / "skipped.txt").exists()


def test_other_split_names(tiny_recipe, run) -> None:
    run = replace(run, train_split="dev", dev_split="train", test_split="train")
    metrics, _ = train(with_training(tiny_recipe, epochs=1), run)
    assert metrics["train.num_clips"] == 5


def test_follows_the_seed(tiny_recipe, run) -> None:
    recipe = with_training(tiny_recipe, epochs=1)
    first, second, third = (replace(run, output=run.output / name) for name in "abc")
    train(recipe, first)
    train(recipe, second)
    assert_same_weights(first, second)
    train(with_training(recipe, seed=1), third)
    ours, theirs = weights(first), weights(third)
    assert any(not torch.equal(value, theirs[name]) for name, value in ours.items())


def scored(monkeypatch, scores: list[float]) -> None:
    """Dev scores as given, one call after the other."""
    calls, real = iter(scores), loop.evaluate

    def evaluate(*arguments, **options) -> Evaluation:
        result = real(*arguments, **options)
        return replace(result, scores=result.scores | {"bleu4": Score(next(calls))})

    for module in (loop, trainer_module):
        monkeypatch.setattr(module, "evaluate", evaluate)


def test_keeps_the_checkpoint_that_is_best_on_dev(tiny_recipe, run, monkeypatch) -> None:
    scored(monkeypatch, [10.0, 30.0, 30.0, 20.0, 77.0])
    metrics, _ = train(with_training(tiny_recipe, epochs=4), run)
    best = read_json(checkpoint_folder(run.output / "best") / "training.json")
    assert best["epoch"] == 3  # of equals the later
    assert read_json(checkpoint_folder(run.output / "last") / "training.json")["epoch"] == 4
    assert metrics["best_dev_bleu4"] == 30 and metrics["test.bleu4"] == 77
    assert len(list((run.output / "checkpoints").iterdir())) == 3  # best, last, previous


def test_ends_without_gain_and_goes_on_with_more_patience(
    tiny_recipe, run, monkeypatch, caplog
) -> None:
    scored(monkeypatch, [10.0, 30.0, 30.0, 20.0, 77.0, 1.0, 2.0])
    caplog.set_level(logging.INFO)
    recipe = with_training(tiny_recipe, epochs=5, patience=2)
    metrics, _ = train(recipe, run)
    assert [record["epoch"] for record in records(run)] == [1, 2, 3, 4]
    assert metrics["test.bleu4"] == 77
    assert "no better dev score in 2 scorings: ended after epoch 4" in caplog.text
    patient = with_training(recipe, patience=0)
    train(patient, replace(run, resume=True))
    assert [record["epoch"] for record in records(run)] == [1, 2, 3, 4, 5]
    assert load_model(run.output / "last").recipe == patient


@pytest.mark.parametrize("name", ["wer", "text", "chrf"])
def test_any_dev_score_chooses(tiny_recipe, run, name: str) -> None:
    metrics, _ = train(with_training(tiny_recipe, epochs=3, best_by=name), run)
    best = min if name in ("wer", "text") else max
    scores = [record[f"dev.{name}"] for record in records(run)]
    assert metrics[f"best_dev_{name}"] == best(scores)
    progress = read_json(checkpoint_folder(run.output / "best") / "training.json")
    assert scores[progress["epoch"] - 1] == best(scores)


def test_a_score_of_glosses_needs_some(tiny_recipe, run, own_manifest) -> None:
    lines = own_manifest.read_text().splitlines()
    kept = [",".join(line.split(",")[:2] + line.split(",")[3:]) for line in lines]
    own_manifest.write_text("\n".join(kept) + "\n")
    run = replace(run, data=f"manifest:{own_manifest}")
    message = "best_by 'wer': found a dev split without glosses; expected glosses there"
    with pytest.raises(UserError, match=message):
        train(with_training(tiny_recipe, best_by="wer"), run)
    assert not run.output.exists()


def test_what_tensorboard_shows(tiny_recipe, run) -> None:
    train(with_training(tiny_recipe, epochs=2, learning_rate=3e-3, schedule="constant"), run)
    events = EventAccumulator(str(run.output / "tensorboard")).Reload()
    steps = {f"step/{name}" for name in ("gradient_norm", "learning_rate", "frames_a_second")}
    shown = {*steps, "train/text", "train/ctc", "dev/bleu4", "dev/text", "gap/text", "gap/ctc"}
    assert shown <= {*events.Tags()["scalars"]}
    rates = [event.value for event in events.Scalars("step/learning_rate")]
    assert rates == pytest.approx([3e-3] * 6)
    record = records(run)[-1]
    assert record["gap.text"] == record["dev.text"] - record["train.text"]
    (text, _) = events.Tensors("dev/translations/text_summary")
    assert b"reference:  a dog sleeps ." in text.tensor_proto.string_val[0]
    (picture, _) = events.Images("dev/attention")
    assert picture.width > 200 and picture.height > 200


def test_without_attention_there_is_no_picture_of_it(tiny_recipe, run) -> None:
    model = replace(tiny_recipe.model, attention=False)
    train(with_training(replace(tiny_recipe, model=model), epochs=1), run)
    events = EventAccumulator(str(run.output / "tensorboard")).Reload()
    assert "dev/translations/text_summary" in events.Tags()["tensors"]
    assert events.Tags()["images"] == []


def test_scores_dev_when_asked_and_at_the_end(tiny_recipe, run) -> None:
    train(with_training(tiny_recipe, epochs=5, evaluate_every=2), run)
    assert [record["epoch"] for record in records(run) if "dev.bleu4" in record] == [2, 4, 5]


def test_warns_of_texts_that_would_be_cut_off(tiny_recipe, run, caplog) -> None:
    """Before the training: the longest texts have four tokens, "the mother sleeps ." the first."""
    recipe = with_training(tiny_recipe, epochs=1)
    train(with_search(recipe, max_text_length=4), run)
    assert "cut off" not in caplog.text
    caplog.clear()
    train(with_search(recipe, max_text_length=3), run)
    rate, message, *_ = caplog.messages
    assert rate.startswith("no clip has a known frame rate")
    assert re.search(r"manifest\.csv:2: 4 tokens of text in clip 'clip0'; .* after 3 \(", message)
    assert message.endswith("too few for 5 of 5 training clips")


def test_a_second_run_moves_the_first_aside(tiny_recipe, run) -> None:
    recipe = with_training(tiny_recipe, epochs=1)
    train(recipe, run)
    train(recipe, run)
    assert len(records(run)) == 1
    assert load_model(run.output.with_name("run.1")).recipe == recipe


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"train_split": "trian"}, {}, "found no split 'trian'"),
        ({"data": "manifest:gone.csv"}, {}, "gone.csv"),
        ({}, {"device": "gpu"}, "device: found 'gpu'"),
    ],
)
def test_a_typo_leaves_the_finished_run_where_it_is(
    tiny_recipe, finished, options: dict, settings: dict, message: str
) -> None:
    again = replace(finished, resume=False, **options)
    with pytest.raises(ValueError, match=message):
        train(with_training(tiny_recipe, epochs=1, **settings), again)
    assert (finished.output / "last").exists()
    assert not finished.output.with_name(f"{finished.output.name}.1").exists()


@pytest.mark.parametrize("kind", ["gpu", "cpu", "numpy"])
def test_memory_that_runs_out_names_the_clips(trainer: Trainer, monkeypatch, kind: str) -> None:
    def full(*_: torch.Tensor) -> None:
        if kind == "gpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        torch.empty(2**60) if kind == "cpu" else np.empty(2**60, np.uint8)

    monkeypatch.setattr(trainer.trained.network, "forward", full)
    message = r"step 0, clips \S+, \S+: found \d+ frames, more than the memory of cpu holds"
    with pytest.raises(ValueError, match=message):
        trainer.train_epoch()


def test_losses_are_averaged_over_tokens_and_glosses(trainer: Trainer, monkeypatch) -> None:
    seen, real = [], trainer.train_step

    def train_step(clips, parts) -> dict[str, float]:
        seen.append((clips, real(clips, parts)))
        return seen[-1][1]

    monkeypatch.setattr(trainer, "train_step", train_step)
    means = trainer.train_epoch()
    counts = {"text": [], "ctc": []}
    for clips, _ in seen:
        counts["text"].append(sum(len(clip.text.split()) + 1 for clip in clips))
        counts["ctc"].append(sum(len(clip.glosses) for clip in clips))
    for name, weights in counts.items():
        total = sum(losses[name] * n for (_, losses), n in zip(seen, weights, strict=True))
        assert means[name] == pytest.approx(total / sum(weights))


def test_a_clip_of_one_frame(tiny_recipe, run, own_manifest: Path) -> None:
    own_manifest.write_text(
        "id,video,text,start,end,split\none,clip0,a b,1,2,train\nmore,clip0,a b,,,dev\n"
    )
    run = replace(run, data=f"manifest:{own_manifest}", test_split="dev")
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, backbone_stages=4))
    with pytest.raises(
        ValueError, match="^step 0, clips one: found a single frame of 32x32 pixels"
    ):
        train(recipe, run)


def first_batch(trainer: Trainer) -> Batch:
    return next(batches(trainer.train_set, trainer.maker, [[0, 1]]))


def step(trainer: Trainer, *parts: Batch) -> dict[str, float]:
    return trainer.train_step([clip for batch in parts for clip in batch.clips], parts)


def test_a_step_changes_the_weights_and_lowers_the_loss(trainer: Trainer) -> None:
    trainer.recipe = with_training(trainer.recipe, schedule="constant")
    batch, before = first_batch(trainer), trainer.trained.network.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    losses = [step(trainer, batch) for _ in range(12)]
    assert losses[0].keys() == {"ctc", "text"}
    assert trainer.progress.step == 12
    for name, parameter in trainer.trained.network.named_parameters():
        assert not torch.equal(parameter, before[name]), name
    assert losses[-1]["ctc"] < losses[0]["ctc"] and losses[-1]["text"] < losses[0]["text"]


def test_gradient_is_clipped(trainer: Trainer) -> None:
    trainer.stepper.settings = replace(trainer.stepper.settings, gradient_clip=1e-3)
    step(trainer, first_batch(trainer))
    gradients = [parameter.grad for parameter in trainer.trained.network.parameters()]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_a_gradient_that_is_not_finite(trainer: Trainer) -> None:
    batch = first_batch(trainer)
    step(trainer, batch)
    before = {name: value.clone() for name, value in trainer.trained.network.state_dict().items()}
    state = {name: value.clone() for name, value in pack_state(trainer.stepper.optimizer).items()}
    bad = replace(batch, images=torch.full_like(batch.images, math.nan))
    trainer.recipe = with_training(trainer.recipe, bad_steps=2)
    assert step(trainer, bad) == {}  # left out
    assert trainer.progress.step == 2 and len(trainer.progress.loss_counts) == 2
    message = r"^2 steps in a row, the last one 2, clips clip0, clip1: found a gradient of norm nan"
    with pytest.raises(UserError, match=message):
        step(trainer, bad)
    for name, value in trainer.trained.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    for name, value in pack_state(trainer.stepper.optimizer).items():
        assert torch.equal(value, state[name]), name
    assert (trainer.run.output / "last").exists()
    assert step(trainer, batch) and not trainer.bad_steps


def test_the_checkpoint_of_bad_steps_counts_the_last_of_them(trainer: Trainer) -> None:
    """So that a resumed run goes on after it."""
    trainer.recipe = with_training(trainer.recipe, bad_steps=2)
    with torch.no_grad():
        next(trainer.trained.network.parameters()).fill_(math.nan)
    with pytest.raises(UserError, match="2 steps in a row, the last one 1, clips"):
        trainer.train_epoch()
    progress = read_progress(latest_checkpoint(trainer.run.output) / "training.json")
    assert (progress.batch, progress.step) == (2, 2)


def test_a_batch_without_a_readable_clip(trainer: Trainer) -> None:
    error = DataError("a.mp4", "no such file", "a video")
    batch = replace(first_batch(trainer), clips=(), errors=(error,))
    with pytest.raises(DataError, match=r"a\.mp4: found no such file"):
        step(trainer, batch)
    errors: list[DataError] = []
    trainer.on_error = errors.append
    assert step(trainer, batch) == {} and errors == [error]
    assert trainer.progress.step == 0


def test_data_without_glosses(tiny_recipe, run, own_manifest: Path) -> None:
    text = own_manifest.read_text().replace("id,video,gloss,", "id,video,other,")
    own_manifest.write_text(text)
    metrics, test = train(tiny_recipe, replace(run, data=f"manifest:{own_manifest}"))
    assert "test.bleu4" in metrics and "test.wer" not in metrics
    assert all("train.ctc" not in record for record in records(run))
    assert all(not translation.glosses for translation in test.translations)


def test_subwords(tiny_recipe, run) -> None:
    recipe = with_training(replace(tiny_recipe, text=TextConfig("subword", 40)), epochs=1)
    train(recipe, run)
    words = load_model(run.output).vocabularies
    assert words.units.split("the mother works .") == ["▁the", "▁mother", "▁works", "▁."]
    assert len(words.encode_text("the fatherdog .")) > 3
    longer = with_training(recipe, epochs=2)
    train(longer, replace(run, resume=True))  # which learns the same again
    with pytest.raises(DataError, match="num_subwords"):
        fewer = replace(longer, text=TextConfig("subword", 39))
        train(fewer, replace(run, resume=True))


def test_rgb_input(tiny_recipe, run) -> None:
    recipe = replace(tiny_recipe, input=replace(tiny_recipe.input, input="rgb"))
    metrics, _ = train(with_training(recipe, epochs=1), run)
    assert "test.bleu4" in metrics and load_model(run.output).recipe.input.input == "rgb"


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        ("training", {"device": "gpu"}, "device: found 'gpu'"),
        ("model", {"attention_heads": 3}, "found 3 heads; expected a divisor"),
        (
            "model",
            {"backbone_weights": "gone.pth"},
            "gone.pth: found no such file; expected imagenet, none, or",
        ),
        ("model", {"decoder_feed_forward": 2**52}, "model: found a network larger than the memory"),
    ],
)
def test_settings_are_tried_before_the_first_clip_is_read(
    tiny_recipe, run, monkeypatch, part: str, settings: dict, message: str
) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("read a clip")

    monkeypatch.setattr(loop, "read_splits", read)
    recipe = replace(tiny_recipe, **{part: replace(getattr(tiny_recipe, part), **settings)})
    with pytest.raises(UserError, match=message):
        train(recipe, run)
    assert not run.output.exists()


def test_a_backend_that_cannot_run_is_named_before_the_first_clip_is_read(
    tiny_recipe, run, monkeypatch
) -> None:
    monkeypatch.setattr(loop, "read_splits", lambda *_, **__: pytest.fail("read a clip"))
    monkeypatch.setattr("slt_fast.ops.backend._machine_refusal", lambda device: "a reason")
    recipe = replace(tiny_recipe, model=replace(tiny_recipe.model, backend="triton"))
    with pytest.raises(UserError, match="backend 'triton' cannot run on cpu: a reason"):
        train(recipe, run)


def test_an_output_that_cannot_be_written_is_named_first(tiny_recipe, run, monkeypatch) -> None:
    monkeypatch.setattr(loop, "read_splits", lambda *_, **__: pytest.fail("read a clip"))
    run.output.touch()
    with pytest.raises(OSError, match=re.escape(str(run.output))):
        train(tiny_recipe, run)


@pytest.mark.parametrize("split", ["train_split", "dev_split", "test_split"])
def test_an_unknown_split_is_told_before_the_training(
    tiny_recipe, run, monkeypatch, split: str
) -> None:
    monkeypatch.setattr(loop, "read_splits", lambda *_, **__: pytest.fail("read a clip"))
    message = r"manifest\.csv: found no split 'valid'; expected one of train, dev, test"
    with pytest.raises(DataError, match=message):
        train(tiny_recipe, replace(run, **{split: "valid"}))
    assert not (run.output / "last").exists()


def test_a_flow_cache_that_does_not_fit_is_told_before_annotations_are_read(
    tiny_recipe, run, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(loop, "read_splits", lambda *_, **__: pytest.fail("read annotations"))
    run = replace(run, flow_cache=tmp_path / "flow")
    with pytest.raises(DataError, match="flow: found no such folder; expected a flow cache"):
        train(tiny_recipe, run)
    open_flow_cache(run.flow_cache, tiny_recipe.input, tmp_path, fps=25, create=True)
    with pytest.raises(DataError, match="found flow with fps 25; expected fps 30"):
        train(tiny_recipe, replace(run, fps=30))


@pytest.fixture
def damaged(run, own_manifest: Path) -> RunConfig:
    """A manifest in which something is wrong with each of four training clips and one of dev."""
    (own_manifest.parent / "clip.mp4").write_bytes(
        b"\0\0\0\x20ftypisom" + bytes(20) + b"\0\0\xff\xffmdat"
    )
    lines = own_manifest.read_text().splitlines()
    lines[1:1] = [
        "few,fields",
        "gone,gone.mp4,A,text,train",
        "truncated,clip.mp4,A,text,train",
        "silent,clip1,A,,train",
        f"short,clip1,{' '.join('A' * 30)},text,dev",
    ]
    path = own_manifest.with_name("damaged.csv")
    path.write_text("\n".join(lines) + "\n")
    return replace(run, data=f"manifest:{path}", skip_bad=True)


MESSAGES = [
    r"damaged\.csv:2: found 2 fields; expected 5",
    r"damaged\.csv:3: found video 'gone\.mp4', which does not exist; expected a video file",
    r"damaged\.csv:5: found no text; expected a value for text",
    r"clip\.mp4: found \d+ bytes; expected \d+ bytes, as its container declares",
    r"damaged\.csv:6: found \d+ frames in clip 'short'; expected at least 59, as CTC needs for 30",
]


@pytest.mark.parametrize("is_preloaded", [pytest.param(True, marks=pytest.mark.slow), False])
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
    assert read_json(checkpoint_folder(damaged.output / "last") / "training.json")["step"] == 3


def test_bad_frames_of_dev_and_test_are_listed(tiny_recipe, run, own_manifest, caplog) -> None:
    """Not preloaded, frames are first decoded when they are scored."""
    broken = [own_manifest.parent / name / "003.png" for name in ("clip5", "clip7")]
    for path in broken:
        path.write_bytes(path.read_bytes()[:100])
    run = replace(run, data=f"manifest:{own_manifest}")
    recipe = with_training(tiny_recipe, preload=False)
    with pytest.raises(DataError, match=r"clip5/003\.png: found a broken or truncated image"):
        train(recipe, run)
    metrics, _ = train(recipe, replace(run, skip_bad=True))
    lines = (run.output / "skipped.txt").read_text().splitlines()
    assert [line.split(": found")[0] for line in lines] == [*map(str, broken)]
    for line in lines:
        assert f"left out: {line}" in caplog.text
    assert metrics["test.num_clips"] == 1 and records(run)[-1]["dev.num_clips"] == 1


def test_without_skip_bad_the_first_bad_line_stops(tiny_recipe, damaged) -> None:
    with pytest.raises(DataError, match=MESSAGES[0]):
        train(tiny_recipe, replace(damaged, skip_bad=False))
    assert not (damaged.output / "last").exists()


def test_progress_is_logged(tiny_recipe, run, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="slt_fast"):
        train(with_training(tiny_recipe, epochs=1), run)
    assert "epoch 1: train.ctc " in caplog.text and "dev.bleu4 " in caplog.text


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_learning_rate_that_is_too_high_is_named(tiny_recipe, run, epochs: int) -> None:
    recipe = with_training(tiny_recipe, learning_rate=1e10, epochs=epochs)
    with pytest.raises(UserError, match="--learning-rate"):
        train(recipe, run)
