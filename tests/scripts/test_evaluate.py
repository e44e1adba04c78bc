import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slt_fast.checkpoint import build_network, load_model, save_checkpoint
from slt_fast.data.sources import read_split
from slt_fast.data.synthetic.corpus import NUM_CLIPS
from slt_fast.data.video.source import VideoSource
from slt_fast.data.vocabulary import GLOSS_SPECIALS, Vocabulary
from slt_fast.files import read_json
from slt_fast.inference import translate
from slt_fast.training import evaluation, tuning


def test_scores_a_split(run_script, checkpoint: Path, manifest: Path, tmp_path: Path) -> None:
    where = ["--data", f"manifest:{manifest}", "--split", "train"]
    output = tmp_path / "scores.json"
    outputs = ["--output", output, "--save-translations", tmp_path / "said.jsonl"]
    scored = run_script("evaluate.py", "--checkpoint", checkpoint, *where, *outputs)
    assert scored.status == 0, scored.err
    scores = json.loads(scored.out)
    assert scores == read_json(output)
    rows = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["first", "second"]
    assert rows[0]["reference"] == "the mother is asleep ."
    assert scores["train.num_clips"] == 2
    assert {f"train.bleu{order}" for order in (1, 2, 3, 4)} <= scores.keys()
    assert {"train.wer", "train.exact_match", "train.rouge_l"} <= scores.keys()
    assert scores["train.bleu4_low"] <= scores["train.bleu4"] <= scores["train.bleu4_high"]
    assert scores["train.signature"].startswith("nrefs:1|case:lc")


def test_what_is_read_is_not_overwritten(run_script, checkpoint, manifest, tmp_path) -> None:
    (tmp_path / "first.mp4").symlink_to(manifest.parent / "first.mp4")
    data = tmp_path / "m.csv"
    rows = manifest.read_text().splitlines(keepends=True)[:2]
    data.write_text("".join(rows))
    said, link = tmp_path / "said.csv", tmp_path / "link.csv"
    link.symlink_to(data)
    (tmp_path / "flow").mkdir()
    given = ["--checkpoint", checkpoint, "--data", f"manifest:{data}", "--split", "train"]
    for options, option, path, other in (
        (["--output", data], "--output", data, "--data"),
        (["--save-translations", link], "--save-translations", link, "--data"),
        (["--output", said, "--save-translations", said], "--save-translations", said, "--output"),
        (["--output", checkpoint / "best"], "--output", checkpoint / "best", "--checkpoint"),
        (
            ["--output", tmp_path / "flow/a.json", "--flow-cache", tmp_path / "flow"],
            *("--output", tmp_path / "flow/a.json", "--flow-cache"),
        ),
    ):
        refused = run_script("evaluate.py", *given, *options)
        found = f"error: {option}: found {path}, which belongs to {other}; expected another place"
        assert refused.status == 1 and found in refused.err
    assert data.read_text() == "".join(rows) and not said.exists()
    own = tmp_path / "scores.json"
    assert run_script("evaluate.py", *given, "--output", own).status == 0
    assert run_script("evaluate.py", *given, "--output", own).status == 0


def test_tuning_the_search(run_script, checkpoint, manifest, tmp_path, monkeypatch) -> None:
    """Each clip is encoded once; the best settings score what they were said to."""
    encoded, real = [], tuning.encode_batch

    def encode_batch(trained, batch):
        encoded.extend(clip.id for clip in batch.clips)
        return real(trained, batch)

    monkeypatch.setattr(tuning, "encode_batch", encode_batch)
    where = ["--checkpoint", checkpoint, "--data", f"manifest:{manifest}", "--split", "train"]
    output = tmp_path / "tried.json"
    tuned = run_script("evaluate.py", *where, "--tune", "--output", output)
    assert tuned.status == 0, tuned.err
    found, lines = read_json(output), tuned.out.splitlines()
    assert encoded == ["first", "second"] and len(found["tried"]) == 130
    name = "train.bleu4" if "train.bleu4" in found else "train.exact_match"
    assert found[name] == max(score for *_, score in found["tried"])
    assert (
        lines[0].startswith(f"{name} by length penalty (rows) and beams")
        and len(lines) == 2 + 13 + 1
    )
    best = ["--beam-size", f"{found['beam_size']}"]
    assert lines[-1].split() == [*best, "--length-penalty", f"{found['length_penalty']:g}"]
    for beam_size, length_penalty, score in found["tried"][:: len(found["tried"]) - 1]:
        options = ["--beam-size", beam_size, f"--length-penalty={length_penalty}"]
        scored = run_script("evaluate.py", *where, *options)
        assert json.loads(scored.out)[name] == pytest.approx(score)


def test_what_tuning_does_not_take(run_script, checkpoint: Path, tmp_path: Path) -> None:
    said = ("--save-translations", tmp_path / "said.csv")
    for option, value in (("--beam-size", 3), ("--gloss-beam-size", 3), said):
        refused = run_script("evaluate.py", "--checkpoint", checkpoint, "--tune", option, value)
        assert refused.status == 1 and "tune: found --beam-size" in refused.err


def test_the_search_for_glosses(run_script, checkpoint: Path, monkeypatch) -> None:
    """Its beams are those asked for, and 1 takes the best path."""
    beams, real = [], translate.ctc_beam_search

    def ctc_beam_search(logits, lengths, beam_size):
        beams.append(beam_size)
        return real(logits, lengths, beam_size)

    monkeypatch.setattr(translate, "ctc_beam_search", ctc_beam_search)
    scored = {}
    for options in ([], ["--gloss-beam-size", 1], ["--gloss-beam-size", 7]):
        finished = run_script("evaluate.py", "--checkpoint", checkpoint, *options)
        assert finished.status == 0, finished.err
        scored[len(beams)] = json.loads(finished.out)
    assert {*beams} == {7} and len(scored) == 2
    assert scored[0]["train.bleu4"] == scored[len(beams)]["train.bleu4"]


def test_no_search_for_glosses_by_a_model_without(run_script, checkpoint, tmp_path: Path) -> None:
    trained = load_model(checkpoint)
    words = replace(trained.vocabularies, gloss=Vocabulary.build([], GLOSS_SPECIALS))
    network = build_network(trained.recipe, words)
    trained = replace(trained, network=network, vocabularies=words)
    save_checkpoint(tmp_path, 0, ("best",), trained, tensors={}, progress={})
    asked = ["--checkpoint", tmp_path, "--gloss-beam-size", 5]
    refused = run_script("evaluate.py", *asked)
    found = "gloss_beam_size: found 5 and a model trained without glosses; expected one trained"
    assert refused.status == 1 and found in refused.err


@pytest.fixture
def seen(monkeypatch) -> list[torch.Tensor]:
    """The images that the model was shown, batch by batch."""
    images, real = [], evaluation.translate_batch

    def translate_batch(trained, batch, **options):
        images.append(batch.images)
        return real(trained, batch, **options)

    monkeypatch.setattr(evaluation, "translate_batch", translate_batch)
    return images


def test_blank_frames(run_script, checkpoint: Path, seen) -> None:
    assert run_script("evaluate.py", "--checkpoint", checkpoint / "last").status == 0
    scored = run_script("evaluate.py", "--checkpoint", checkpoint / "last", "--probe", "blank")
    assert scored.status == 0, scored.err
    as_they_are, blank = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    for before, after in zip(as_they_are, blank, strict=True):
        assert before.shape == after.shape and before.std() > 0
        assert torch.equal(after, after[:1, :, :1, :1].expand_as(after))  # one colour


def test_synthetic_corpus_without_non_manuals(run_script, checkpoint, seen, monkeypatch) -> None:
    """Negations and questions are changed, statements are what they were."""
    monkeypatch.setitem(NUM_CLIPS, "dev", 3)
    options = ["--data", "synthetic", "--split", "dev", "--beam-size", 1]
    assert run_script("evaluate.py", "--checkpoint", checkpoint, *options).status == 0
    scored = run_script("evaluate.py", "--checkpoint", checkpoint, *options, "--probe", "neutral")
    assert scored.status == 0, scored.err
    assert json.loads(scored.out)["dev.num_clips"] == 3
    changed = [not torch.equal(*pair) for pair in zip(seen[:3], seen[3:], strict=True)]
    modes = [clip.source.mode for clip in read_split("synthetic", "dev")]
    assert changed == [mode != "statement" for mode in modes] and len({*changed}) == 2


def test_scores_what_the_model_was_trained_on(run_script, checkpoint: Path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        scored = run_script("evaluate.py", "--checkpoint", checkpoint)
    assert f"training data's {load_model(checkpoint).trained_on.data}" in caplog.text
    assert scored.status == 0, scored.err
    assert json.loads(scored.out)["train.num_clips"] == 2


@pytest.mark.parametrize(("learned", "data"), [("train", ""), ("train", "mine"), ("other", "")])
def test_scores_of_clips_that_were_learned_in_part(
    run_script, checkpoint: Path, manifest: Path, tmp_path, caplog, learned: str, data: str
) -> None:
    """Other data may have fewer clips than the model learned from."""
    trained, scored = load_model(checkpoint), f"manifest:{manifest}"
    trained_data = data or scored
    of = replace(trained.trained_on, data=trained_data, train_split=learned, train_clips=5)
    part = replace(trained, trained_on=of)
    save_checkpoint(tmp_path, 0, ("best",), part, tensors={}, progress={})
    where = ["--checkpoint", tmp_path / "best", "--data", scored]
    assert run_script("evaluate.py", *where, "--split", "train").status == 0
    said = f"learned from 5 clips of split 'train' of {trained_data}; all 2 of {scored} are scored"
    assert (said in caplog.text) == (learned == "train")


def test_clips_are_not_read_beforehand(run_script, checkpoint: Path, monkeypatch) -> None:
    monkeypatch.setattr(VideoSource, "num_frames", None)
    scored = run_script("evaluate.py", "--checkpoint", checkpoint)
    assert scored.status == 0, scored.err


def test_bad_clips(run_script, checkpoint: Path, manifest: Path, tmp_path, caplog) -> None:
    path = tmp_path / "bad.csv"
    (tmp_path / "clip").symlink_to(manifest.parent / "second")
    path.write_text(f"id,video,gloss,text\ngood,clip,A,a\ngone,gone,A,a\nlong,clip,{'A ' * 99},a\n")
    options = ["--checkpoint", checkpoint, "--data", f"manifest:{path}", "--split", "train"]
    stopped = run_script("evaluate.py", *options)
    assert stopped.status == 1
    assert "error: " in stopped.err and "bad.csv:3: found video 'gone', which" in stopped.err
    scored = run_script("evaluate.py", *options, "--skip-bad")
    assert scored.status == 0, scored.err
    listed = [line for line in caplog.messages if line.startswith("left out: ")]
    assert len(listed) == 2
    assert "bad.csv:3: found video 'gone', which does not exist" in listed[0]
    assert "bad.csv:4: found " in listed[1] and "expected at least 197, as CTC" in listed[1]
    assert json.loads(scored.out)["train.num_clips"] == 1
    path.write_text("id,video,text\ngone,other,a\n")
    failed = run_script("evaluate.py", *options, "--skip-bad")
    assert failed.status == 1 and "found no usable clip in split 'train'" in failed.err
    assert "bad.csv:2: found video 'other', which does not exist" in caplog.messages[-1]


SYNTHETIC = ["--data", "synthetic", "--split", "dev"]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--checkpoint", "nowhere"], 1, "error: nowhere: found nothing; expected a checkpoint's"),
        (["--split", "valid"], 1, "found split 'valid'; expected ('train', 'dev', 'test'"),
        (["--data", "folder:x"], 1, "found 'folder:x'; expected synthetic[-agreement][:SEED]"),
        (["--probe", "upside-down"], 2, "upside-down"),
        (["--beam-size", "0"], 1, "beam_size: found 0; expected at least 1"),
        (["--gloss-beam-size", "101"], 1, "gloss_beam_size: found 101; expected gloss_beam"),
        (["--fps", "0"], 2, "fps: found 0.0; expected 1 to 1000"),
        (["--flavour", "vanilla"], 2, "--flavour"),
        (
            ["--output", "gone/scores.json"],
            1,
            "error: gone: found no such folder; expected one to write",
        ),
        (["--output", "/"], 1, "error: /: found a folder; expected a file to write to"),
        (["--device", "gpu"], 1, "device: found 'gpu'"),
    ],
)
def test_bad_options(run_script, checkpoint, monkeypatch, options, status, message: str) -> None:
    monkeypatch.setitem(NUM_CLIPS, "dev", 1)
    monkeypatch.setattr(evaluation, "batches", lambda *_, **__: pytest.fail("read a clip"))
    finished = run_script("evaluate.py", "--checkpoint", checkpoint, *SYNTHETIC, *options)
    assert finished.status == status
    assert message in finished.out + finished.err


def test_no_non_manuals_in_real_video(run_script, checkpoint: Path, manifest: Path) -> None:
    where = ["--data", f"manifest:{manifest}", "--split", "train", "--probe", "neutral"]
    stopped = run_script("evaluate.py", "--checkpoint", checkpoint, *where)
    assert stopped.status == 1
    assert "probe: found 'neutral' on clip first; expected blank, or neutral on" in stopped.err
