import logging
import pickle
from pathlib import Path

import pytest

from slt_fast.command_line import run
from slt_fast.data.datasets.manifest import read_manifest
from slt_fast.errors import DataError, UserError, printable
from slt_fast.training.datasets import SkippedClips

RUDE = "a\x1b[2J\x9bb\r\n\tc\u2028\u202edcb\x7f\udcff"
SHOWN = r"a\x1b[2J\x9bb\r\n\tc\u2028\u202edcb\x7f\udcff"


def test_what_cannot_be_shown_is_escaped() -> None:
    assert printable(RUDE) == SHOWN and printable(SHOWN) == SHOWN
    for text in ("grüße 手語 می\u200cخواهم", "C:\\x1b", ""):
        assert printable(text) == text


def test_errors_take_one_line() -> None:
    error = DataError(f"{RUDE}.csv", f"id {RUDE}", RUDE, 7)
    assert str(error) == f"{SHOWN}.csv:7: found id {SHOWN}; expected {SHOWN}"
    assert str(pickle.loads(pickle.dumps(error))) == str(error) and error.path == f"{RUDE}.csv"
    assert str(UserError(RUDE)) == SHOWN


@pytest.mark.parametrize("column", ["id", "video", "text", "gloss", "signer", "split"])
def test_a_manifest_cannot_write_to_the_terminal(tmp_path: Path, column: str) -> None:
    """Through no column, neither when it is refused nor when its clip is left out."""
    row = {
        "id": "a",
        "video": "gone.mp4",
        "text": "<unk>",
        "gloss": "G",
        "signer": "s",
        "split": "",
    }
    row[column] = "x\x1b]0;title\x07\u2028y"
    path = tmp_path / "m\x1b[2J.tsv"
    lines = ["\t".join(row), "\t".join(row.values())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    skipped = SkippedClips()
    skipped.open(tmp_path / "skipped.txt", append=False)
    read_manifest(path, row["split"] or "train", on_error=skipped)
    (line,) = (tmp_path / "skipped.txt").read_text().splitlines()
    assert r"m\x1b[2J.tsv:2: found" in line and line.isprintable()


def test_the_log_of_a_command(capsys) -> None:
    def main() -> None:
        logging.getLogger("slt_fast").warning("clip %s", RUDE)
        raise OSError(f"{RUDE}: full")

    root = logging.getLogger()
    before, level, root.handlers = root.handlers, root.level, []
    try:
        with pytest.raises(SystemExit):
            run(main)
    finally:
        root.handlers = before
        root.setLevel(level)
    printed = capsys.readouterr().err
    assert "".join(printed.split()).count("".join(SHOWN.split())) == 2
    assert all(line.isprintable() for line in printed.split("\n"))
