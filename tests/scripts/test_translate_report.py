"""slt-translate --report, with a small untrained model."""

import json
import re
from pathlib import Path

import pytest

from slt_fast.data.synthetic.talk import Talk
from slt_fast.inference.attention import ClipAttention, attention_of
from slt_fast.visualize import write_video


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "talk.mp4"
    write_video(path, list(Talk("test-00001", 2).frames()), fps=25)
    return path


@pytest.fixture
def translated(run_script, checkpoint: Path):
    """Runs slt-translate with other arguments."""
    options = ["--checkpoint", checkpoint, "--fps", 25]
    return lambda *arguments: run_script("translate.py", *arguments, *options)


def test_the_page_says_what_the_command_says(translated, video: Path, monkeypatch) -> None:
    seen: list[ClipAttention] = []
    monkeypatch.setattr(
        "slt_fast.inference.explaining.attention_of",
        lambda *given: seen.append(attention_of(*given)) or seen[-1],
    )
    path = video.with_name("page.html")
    finished = translated(video, "--sentences", "pauses", "--report", path)
    assert finished.status == 0, finished.err
    *lines, last = finished.out.splitlines()
    assert last == f"wrote {path}: 2 sentences" and len(lines) == 2
    text = path.read_text(encoding="utf-8")
    data = json.loads(re.findall(r'id="data">(.*)</script>', text)[0])
    said = [
        f"{each['start']:06.3f} --> 00:00:{each['end']:06.3f} {each['text']}"
        for each in data["sentences"]
    ]
    assert lines == [f"00:00:{each}" for each in said]
    for sentence, looks in zip(data["sentences"], seen, strict=True):
        first = data["times"][sentence["first"]]
        assert first == pytest.approx(sentence["start"], abs=0.001)
        num_frames = round(25 * (sentence["end"] - sentence["start"]))
        assert len(looks.positions) == len(sentence["attention"]["positions"]) == num_frames
    assert len(data["times"]) == len(list(Talk("test-00001", 2).frames()))


def test_a_part_keeps_the_times_of_the_video(translated, video: Path) -> None:
    path = video.with_name("page.html")
    finished = translated(video, "--start", 20, "--end", 50, "--report", path)
    assert finished.status == 0, finished.err
    data = json.loads(re.findall(r'id="data">(.*)</script>', path.read_text("utf-8"))[0])
    assert (data["times"][0], len(data["times"])) == (0.8, 30)
    assert data["sentences"][0]["start"] == 0.8 and data["sentences"][0]["first"] == 0


def test_what_has_no_page(translated, video: Path) -> None:
    content = video.read_bytes()
    for arguments, message in (
        ([video, "--report", "a.pdf"], "report: found suffix '.pdf'; expected .html"),
        ([video, video, "--report", "a.html"], "report: found 2 videos; expected one"),
        (["--stream", video, "--report", "a.html"], "stream: found report as well"),
    ):
        finished = translated(*arguments)
        assert finished.status != 0 and message in finished.err
    assert video.read_bytes() == content and len(list(video.parent.iterdir())) == 1


def test_a_long_video_has_no_page(translated, video: Path, monkeypatch) -> None:
    monkeypatch.setattr("slt_fast.commands.translate_report._LONGEST", 1)
    path = video.with_name("page.html")
    finished = translated(video, "--report", path)
    assert finished.status == 1 and not path.exists()
    assert "report: found a video of more than 1 seconds; expected a part of it" in finished.err
