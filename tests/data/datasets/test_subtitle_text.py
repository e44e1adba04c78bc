"""Subtitles are written as they are read."""

from pathlib import Path

import pytest

from slt_fast.data.datasets.subtitle_text import HEADERS, clock, cue_blocks
from slt_fast.data.datasets.subtitles import read_cues

TEXTS = [
    "the mother worked yesterday .",
    "1 < 2 & <b>bold</b> --> {\\an8} ?",
    "a very long sentence " * 6,
    "你好世界",
]


@pytest.mark.parametrize("kind", ["vtt", "srt"])
def test_what_is_written_is_read_back(tmp_path: Path, kind: str) -> None:
    cues = [(3599.5 + number, 3600.25 + number, text) for number, text in enumerate(TEXTS)]
    path = tmp_path / f"a.{kind}"
    path.write_text(HEADERS[kind] + "".join(cue_blocks(cues, kind)), encoding="utf-8")
    found = read_cues(path)
    for cue, (start, end, text) in zip(found, cues, strict=True):
        assert (cue.start, cue.end) == pytest.approx((start, end))
        assert " ".join(cue.text.replace("\u2060", "").split()) == " ".join(text.split())
    assert max(map(len, path.read_text(encoding="utf-8").splitlines())) < 60  # with escapes


def test_subtitles_do_not_overlap() -> None:
    cues = [(0.0, 2.0, "one"), (1.5, 3.0, "two"), (3.5, 4.0, "  "), (3.6, 3.6, "three")]
    times = [block.splitlines()[1] for block in cue_blocks(cues, "srt")]
    assert times == [
        "00:00:00,000 --> 00:00:02,000",
        "00:00:02,000 --> 00:00:03,000",
        "00:00:03,600 --> 00:00:03,601",
    ]
    with pytest.raises(ValueError, match="found a start at 1 s after 2000 ms"):
        list(cue_blocks([(2, 3, "late"), (1, 2, "early")], "vtt"))


def test_clock() -> None:
    assert [clock(each) for each in (0, 59.9996, 3600.5)] == [
        *("00:00:00.000", "00:01:00.000", "01:00:00.500")
    ]
