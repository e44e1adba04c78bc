from dataclasses import asdict
from pathlib import Path

import pytest

from slt_fast.errors import DataError
from slt_fast.files import write_json
from slt_fast.training.progress import Progress, read_progress

KNOWN = {"epoch": 1, "batch": 0, "step": 3, "seconds": 2.5}


def test_progress_of_earlier_versions_is_read(tmp_path: Path) -> None:
    path = tmp_path / "training.json"
    write_json(path, KNOWN | {"best_bleu4": 30.0, "batch": 7})
    progress = read_progress(path)
    assert progress == Progress(epoch=1, batch=7, step=3, seconds=2.5, best_score=30.0)
    assert progress.mean_losses() == {}
    progress.add_losses({"text": 3.0}, {"text": 2, "ctc": 1})
    assert progress.mean_losses() == {"text": 1.5}


def test_no_score_yet_in_earlier_versions(tmp_path: Path) -> None:
    path = tmp_path / "training.json"
    write_json(path, KNOWN | {"best_score": -1.0})
    assert read_progress(path).best_score is None


def test_the_best_score_and_scorings_without_a_better_one() -> None:
    progress = Progress()
    assert [progress.add_score("bleu4", score) for score in (0, 2, 1, 2, 3)] == [
        *(True, True, False, True, True)  # of equals the later
    ]
    assert (progress.best_score, progress.scorings_since_best) == (3, 0)
    for score in (3, 1):
        progress.add_score("bleu4", score)
    assert (progress.best_score, progress.scorings_since_best) == (3, 2)
    assert [progress.is_done(9, patience) for patience in (0, 1, 2, 3)] == [
        *(False, True, True, False)
    ]
    progress.epoch = 9
    assert progress.is_done(9, 0)
    errors = Progress()
    assert [errors.add_score("wer", score) for score in (120.0, 130.0, 50.0)] == [True, False, True]


def test_losses_go_on_from_what_was_written(tmp_path: Path) -> None:
    progress, path = Progress(), tmp_path / "training.json"
    for number in range(7):
        losses = {"ctc": number / 3, "text": 1.1} if number % 2 else {"text": 0.1}
        progress.add_losses(losses, {"ctc": number, "text": 1})
        write_json(path, asdict(progress))
        assert read_progress(path) == progress
        progress = read_progress(path)
    assert progress.mean_losses() == {
        "ctc": (1 / 3 + 1 + 5 / 3) / 9,
        "text": progress.loss_sums["text"] / 7,
    }
    progress.finish_epoch()
    assert (progress.epoch, progress.batch, progress.mean_losses()) == (1, 0, {})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("step", -1, "step: found -1; expected 0 or more"),
        ("epoch", True, "epoch: found True; expected a whole number"),
        ("seconds", "1", "seconds: found '1'; expected a finite number"),
        ("best_score", "x", "best_score: found 'x'; expected a finite number"),
        ("scorings_since_best", -1, "scorings_since_best: found -1; expected 0 or more"),
        ("loss_sums", [1], r"loss_sums: found \[1\]; expected a number for each loss"),
        ("loss_sums", {"text": "1"}, "loss_sums of text: found '1'; expected a finite number"),
        ("loss_sums", {"text": 1.0}, r"loss_counts: found \[\]; expected \['text'\], as in"),
        ("loss_counts", {"text": 0}, "loss_counts of text: found 0; expected at least 1"),
    ],
)
def test_other_progress_is_named(tmp_path: Path, name: str, value: object, message: str) -> None:
    path = tmp_path / "training.json"
    write_json(path, KNOWN | {name: value})
    with pytest.raises(DataError, match=f"training.json: found {message}"):
        read_progress(path)
