"""Training, scoring and resuming with glosses as the input: no video is there or read."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from slt_fast import Translator
from slt_fast.checkpoint import checkpoint_folder
from slt_fast.data.augmentation import AugmentationConfig
from slt_fast.data.input import InputConfig
from slt_fast.data.sources import read_split
from slt_fast.data.synthetic.grammar import Sentence, draw_sentence
from slt_fast.errors import DataError, UserError
from slt_fast.recipe import Recipe
from slt_fast.training.datasets import read_clips
from slt_fast.training.evaluation import evaluate
from slt_fast.training.loop import train
from slt_fast.training.run import RunConfig
from slt_fast.training.step import Stepper
from slt_fast.training.summary import next_commands
from slt_fast.training.trainer import Trainer


def with_training(recipe: Recipe, **settings) -> Recipe:
    return replace(recipe, training=replace(recipe.training, **settings))


@pytest.fixture
def gloss_recipe(tiny_recipe) -> Recipe:
    recipe = replace(
        tiny_recipe,
        input=InputConfig(input="gloss"),
        augmentation=AugmentationConfig(gloss_dropout=0.1),
        model=replace(tiny_recipe.model, encoder_layers=1),
        search=replace(tiny_recipe.search, max_text_length=16),
    )
    return with_training(recipe, precision="float32", frames_per_step=50, batch_size=40)


def write_sentences(path: Path, copies: int = 1) -> Path:
    """Writes statements of the synthetic language, whose text follows from the glosses; no video.

    The split "train" has so many copies of the 40 sentences of "test".
    """
    generator, found = np.random.default_rng(0), dict[tuple, Sentence]()
    while len(found) < 40:
        sentence = draw_sentence(generator)
        if sentence.mode == "statement":
            found[sentence.glosses] = sentence
    lines = [
        f"{split}{number},gone.mp4,{split},{' '.join(sentence.glosses)},{sentence.text}"
        for split, sentences in (("train", [*found.values()] * copies), ("test", found.values()))
        for number, sentence in enumerate(sentences)
    ]
    path.write_text("\n".join(["id,video,split,gloss,text", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def sentences(tmp_path: Path) -> RunConfig:
    path = write_sentences(tmp_path / "sentences.csv")
    return RunConfig(f"manifest:{path}", tmp_path / "run", dev_split="test")


def test_a_language_is_learned(gloss_recipe, sentences, tmp_path: Path) -> None:
    recipe = replace(gloss_recipe, augmentation=AugmentationConfig())
    recipe = replace(recipe, model=replace(recipe.model, dropout=0.0, width=64))
    recipe = with_training(recipe, epochs=2, learning_rate=5e-3, evaluate_every=2)
    write_sentences(tmp_path / "sentences.csv", copies=20)
    said = tmp_path / "said.jsonl"
    search = replace(recipe.search, gloss_beam_size=5)  # which finds nothing to recognise
    recipe = replace(recipe, search=search)
    metrics, test = train(recipe, replace(sentences, save_translations=said))
    assert metrics["test.exact_match"] > 95 and metrics["test.bleu4"] > 95
    of_glosses = ("wer", "ctc", "deletions")
    assert not [key for key in metrics if key.partition(".")[2].startswith(of_glosses)]
    record = json.loads((sentences.output / "metrics.jsonl").read_text().splitlines()[-1])
    assert "train.text" in record and "train.ctc" not in record and "dev.ctc" not in record
    rows = [json.loads(line) for line in said.read_text().splitlines()]
    assert [row["glosses"] for row in rows] == [""] * 40

    translator = Translator.load(sentences.output, device="cpu")
    assert not translator.knows_glosses and translator.takes_glosses
    for clip, translation in list(zip(test.clips, test.translations, strict=True))[:3]:
        assert translator.translate_glosses(" ".join(clip.glosses)).text == translation.text
    assert next_commands("gloss-to-text", recipe, sentences, test) == [
        ". .venv/bin/activate",
        f"python scripts/translate.py --glosses '{' '.join(test.clips[0].glosses)}' "
        f"--checkpoint {sentences.output / 'best'}",
        f"tensorboard --logdir {sentences.output}",
    ]


def weights(run: RunConfig) -> dict[str, torch.Tensor]:
    return load_file(checkpoint_folder(run.output / "last") / "model.safetensors")


def test_a_resumed_run_equals_an_unbroken_one(
    gloss_recipe, sentences, tmp_path: Path, monkeypatch
) -> None:
    class BrokenOff(BaseException):
        pass

    def take(self, step, *arguments):
        if step == 5:  # within the second epoch
            raise BrokenOff
        return real(self, step, *arguments)

    real, recipe = (
        Stepper.take,
        with_training(gloss_recipe, frames_per_step=40, checkpoint_minutes=1e-9),
    )
    whole = replace(sentences, output=tmp_path / "whole")
    train(recipe, whole)
    with monkeypatch.context() as patch, pytest.raises(BrokenOff):
        patch.setattr(Stepper, "take", take)
        train(recipe, sentences)
    train(recipe, replace(sentences, resume=True))
    ours, theirs = weights(sentences), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    records = [
        [json.loads(line) for line in (run.output / "metrics.jsonl").read_text().splitlines()]
        for run in (sentences, whole)
    ]
    for record in (*records[0], *records[1]):
        for name in ("seconds", "frames_a_second", "seconds_a_step"):
            assert record.pop(name, 1.0) > 0
    assert records[0] == records[1]


def test_steps_in_parts_have_the_same_losses(gloss_recipe, sentences) -> None:
    recipe = replace(gloss_recipe, model=replace(gloss_recipe.model, dropout=0.0))
    losses = []
    for at_once in (0, 10):
        divided = with_training(recipe, frames_at_once=at_once)
        clips = read_split(sentences.data, "train", needs_frames=False)
        trainer = Trainer(divided, sentences, read_clips(divided, sentences.data, clips), None)
        (parts,) = {len(trainer.steps.parts(step)) > 1 for step in trainer.steps.of_epoch(0)}
        assert parts == (at_once > 0)
        losses.append(trainer.train_epoch())
    assert losses[0].keys() == {"text"}  # no gloss is counted
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_preloading_changes_nothing(gloss_recipe, sentences) -> None:
    clips = read_split(sentences.data, "train", needs_frames=False)
    for preload in (True, False):
        recipe = with_training(gloss_recipe, preload=preload, num_workers=2)
        dataset = read_clips(recipe, sentences.data, clips)
        assert dataset.num_workers(2) == 0 and dataset.num_frames()[0] == len(clips[0].glosses)


def test_a_clip_without_glosses_is_left_out_by_skip_bad(gloss_recipe, sentences) -> None:
    path = Path(sentences.data.partition(":")[2])
    path.write_text(path.read_text() + "bad,bad.mp4,train,,it rains\n")
    with pytest.raises(DataError, match=r"sentences\.csv:82: found no glosses of clip 'bad'"):
        train(gloss_recipe, sentences)
    recipe = with_training(gloss_recipe, epochs=1)
    _, test = train(recipe, replace(sentences, skip_bad=True))
    assert len(test.clips) == 40
    assert "sentences.csv:82" in (sentences.output / "skipped.txt").read_text()


@pytest.mark.parametrize(
    ("setting", "value", "found"),
    [
        ("fps", 25.0, "fps: found 25.0; expected none with input 'gloss'"),
        ("flow_cache", Path("flow"), "flow_cache: found flow; expected none with input 'gloss'"),
        ("memory_budget", "1GB", "memory_budget: found 1GB; expected none with input 'gloss'"),
    ],
)
def test_settings_of_videos_are_refused(gloss_recipe, sentences, setting, value, found) -> None:
    with pytest.raises(UserError, match=found):
        train(gloss_recipe, replace(sentences, **{setting: value}))


def test_real_sentences(shared_data: Path, gloss_recipe, tmp_path: Path, monkeypatch) -> None:
    """The loss falls, and what is said is scored against the real text."""
    data = f"phoenix14t:{shared_data / 'phoenix14t'}"
    recipe = replace(gloss_recipe, search=replace(gloss_recipe.search, max_text_length=30))
    recipe = with_training(recipe, epochs=1, frames_per_step=256, schedule="constant")
    clips = read_split(data, "train", needs_frames=False)
    assert len(clips) == 7096
    run = RunConfig(data, tmp_path / "run", fps="native")
    trainer = Trainer(recipe, run, read_clips(recipe, data, clips[:1500]), None)
    losses = []
    monkeypatch.setattr(trainer.log, "step", lambda result, _: losses.append(result.means()))
    trainer.train_epoch()
    start, end = (sum(each["text"] for each in part) / 5 for part in (losses[:5], losses[-5:]))
    assert start > 6.5 and end < start - 1
    dev = read_split(data, "dev", needs_frames=False)[:20]
    found = evaluate(trainer.trained, read_clips(recipe, data, dev), search=recipe.search)
    assert 0 <= found.scores["bleu4"].value < 30 and "wer" not in found.scores
    assert found.losses.keys() == {"text"}
