import csv
import json
from pathlib import Path

import pytest

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.errors import DataError
from slt_fast.inference.translate import Translation
from slt_fast.training.evaluation import Evaluation
from slt_fast.training.translations import check_translations_file, save_translations

ROWS = [
    {"id": "a", "reference": 'Er sagt: "Hallo, du"', "hypothesis": "er schläft", "glosses": "ER X"},
    {"id": "b", "reference": "nein", "hypothesis": "", "glosses": ""},
]


def evaluation() -> Evaluation:
    source = SyntheticSource("", ("A",), "statement", 0, (0, 0))
    clips = [AnnotatedClip(row["id"], source, row["reference"], None, None, "", "") for row in ROWS]
    said = [Translation(row["hypothesis"], tuple(row["glosses"].split())) for row in ROWS]
    return Evaluation({}, clips, said)


def test_csv_and_jsonl_hold_the_same_rows(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl"):
        check_translations_file(tmp_path / name)
        save_translations(tmp_path / name, evaluation())
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == ROWS
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ROWS


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.txt: found suffix '\.txt'; expected \.csv or \.jsonl"):
        check_translations_file(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"gone: found no such folder; .* to write a\.csv to"):
        check_translations_file(tmp_path / "gone" / "a.csv")
