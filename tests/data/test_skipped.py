from pathlib import Path

from slt_fast.data.skipped import SkippedClips
from slt_fast.errors import DataError


def test_each_skipped_clip_is_listed_once(tmp_path: Path, caplog) -> None:
    first, second = (DataError("list.csv", "no text", "a text", line) for line in (2, 3))
    path = tmp_path / "skipped.txt"
    path.write_text("of a run that broke off\n")
    for append in (False, True):  # a run, and its resumption
        skipped = SkippedClips()
        skipped(first)
        skipped.open(path, append=append)
        skipped(second)
        skipped(first)
    assert path.read_text().splitlines() == [str(first), str(second)]
    assert caplog.messages == [f"left out: {error}" for error in (first, second, first)]
