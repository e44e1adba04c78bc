from pathlib import Path

import pytest

from slt_fast.errors import DataError
from slt_fast.files import write_json
from slt_fast.training.loop import Progress, _read_progress

KNOWN = {"epoch": 1, "batch": 0, "step": 3, "seconds": 2.5}


def test_progress_of_earlier_versions_is_read(tmp_path: Path) -> None:
    path = tmp_path / "training.json"
    write_json(path, KNOWN | {"best_bleu4": 30.0})
    assert _read_progress(path) == Progress(**KNOWN, best_score=30.0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("step", -1, "step: found -1; expected 0 or more"),
        ("epoch", True, "epoch: found True; expected a whole number"),
        ("seconds", "1", "seconds: found '1'; expected a finite number"),
        ("best_score", 101.0, "best_score: found 101.0; expected"),
    ],
)
def test_other_progress_is_named(tmp_path: Path, name: str, value: object, message: str) -> None:
    path = tmp_path / "training.json"
    write_json(path, KNOWN | {name: value})
    with pytest.raises(DataError, match=f"training.json: found {message}"):
        _read_progress(path)
