import json
from pathlib import Path

import pytest

from slt_fast.data.synthetic.corpus import NUM_CLIPS
from slt_fast.training.checkpoint import read_json


def test_scores_a_split(run_script, checkpoint: Path, manifest: Path, tmp_path: Path) -> None:
    where = ["--data", f"manifest:{manifest}", "--split", "train"]
    output = tmp_path / "scores.json"
    scored = run_script("evaluate.py", "--checkpoint", checkpoint, *where, "--output", output)
    assert scored.status == 0, scored.err
    scores = json.loads(scored.out)
    assert scores == read_json(output)
    assert scores["train.num_clips"] == 2
    assert {f"train.bleu{order}" for order in (1, 2, 3, 4)} <= scores.keys()
    assert {"train.wer", "train.exact_match", "train.rouge_l"} <= scores.keys()
    assert scores["train.signature"].startswith("nrefs:1|case:lc")


def test_blank_frames(run_script, checkpoint: Path, manifest: Path) -> None:
    where = ["--data", f"manifest:{manifest}", "--split", "train", "--probe", "blank"]
    scored = run_script("evaluate.py", "--checkpoint", checkpoint / "last", *where)
    assert scored.status == 0, scored.err
    # Clips of blank frames differ in length alone.
    assert json.loads(scored.out)["train.exact_match"] <= 50


def test_synthetic_corpus_without_non_manuals(run_script, checkpoint, monkeypatch) -> None:
    monkeypatch.setitem(NUM_CLIPS, "dev", 3)
    options = ["--split", "dev", "--probe", "neutral", "--beam-size", 1]
    scored = run_script("evaluate.py", "--checkpoint", checkpoint, *options)
    assert scored.status == 0, scored.err
    assert json.loads(scored.out)["dev.num_clips"] == 3


def test_bad_clips(run_script, checkpoint: Path, manifest: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    clip = f"{manifest.parent}/second"
    path.write_text(
        f"id,video,gloss,text\ngood,{clip},A,a\ngone,gone,A,a\nlong,{clip},{'A ' * 99},a\n"
    )
    options = ["--checkpoint", checkpoint, "--data", f"manifest:{path}", "--split", "train"]
    stopped = run_script("evaluate.py", *options)
    assert stopped.status == 1
    assert "error: " in stopped.err and "bad.csv:3: found video 'gone', which" in stopped.err
    scored = run_script("evaluate.py", *options, "--skip-bad")
    assert scored.status == 0, scored.err
    listed = [line for line in scored.err.splitlines() if line.startswith("left out: ")]
    assert len(listed) == 2
    assert "bad.csv:3: found video 'gone', which does not exist" in listed[0]
    assert "bad.csv:4: found " in listed[1] and "expected at least 197, as CTC" in listed[1]
    assert json.loads(scored.out)["train.num_clips"] == 1


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--checkpoint", "nowhere"], 1, "error: nowhere: found nothing; expected a checkpoint's"),
        (["--split", "valid"], 1, "found split 'valid'; expected ('train', 'dev', 'test'"),
        (["--data", "folder:x"], 1, "found 'folder:x'; expected synthetic, phoenix14t:PATH or"),
        (["--probe", "upside-down"], 2, "upside-down"),
        (["--beam-size", "0"], 1, "found beam_size 0"),
        (["--flavour", "vanilla"], 2, "--flavour"),
    ],
)
def test_bad_options(run_script, checkpoint, monkeypatch, options, status, message: str) -> None:
    monkeypatch.setitem(NUM_CLIPS, "dev", 1)
    finished = run_script("evaluate.py", "--checkpoint", checkpoint, "--split", "dev", *options)
    assert finished.status == status
    assert message in finished.out + finished.err


def test_no_non_manuals_in_real_video(run_script, checkpoint: Path, manifest: Path) -> None:
    where = ["--data", f"manifest:{manifest}", "--split", "train", "--probe", "neutral"]
    stopped = run_script("evaluate.py", "--checkpoint", checkpoint, *where)
    assert stopped.status == 1
    assert "probe: found 'neutral' on clip first; expected blank, or neutral on" in stopped.err
