"""Translations of a scored split as a file: id, reference, hypothesis and glosses of each clip."""

import csv
import json
from pathlib import Path

from slt_fast.errors import DataError
from slt_fast.files import check_writable, replacing
from slt_fast.training.evaluation import Evaluation

_COLUMNS = ("id", "reference", "hypothesis", "glosses")


def check_translations_file(path: Path) -> None:
    """Raises DataError or OSError if translations cannot be written to this file."""
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise DataError(path, f"suffix {path.suffix!r}", ".csv or .jsonl")
    check_writable(path)


def save_translations(path: Path, evaluation: Evaluation) -> None:
    """Writes a row a clip, in the order of the split.

    Args:
        path: A .csv or .jsonl file; an older one is replaced.
        evaluation: The scored split; the reference is the annotation's own text.

    Raises:
        OSError: The file cannot be written.
    """
    rows = [
        (clip.id, clip.text, translation.text, " ".join(translation.glosses))
        for clip, translation in zip(evaluation.clips, evaluation.translations, strict=True)
    ]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if path.suffix.lower() == ".csv":
            csv.writer(file).writerows([_COLUMNS, *rows])
        else:
            for row in rows:
                values = dict(zip(_COLUMNS, row, strict=True))
                file.write(json.dumps(values, ensure_ascii=False) + "\n")
