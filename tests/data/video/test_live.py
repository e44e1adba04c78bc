"""Frames of streams: all of a file, some of what is sent faster than it is taken."""

import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from slt_fast.data.video.live import LiveReader, LiveSource
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError

NUM_FRAMES = 90  # more than may wait


def write(path: Path, codec: str, *, first: int = 0) -> Path:
    """Writes a video of 25 frames a second whose first frame is at a later one's time."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number in range(NUM_FRAMES):
            picture = np.full((48, 64, 3), 2 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = first + number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("name", "rate"), [("a.mkv", 25), ("a.ts", None)])  # it states none
def test_frames_are_those_of_the_file(tmp_path: Path, name: str, rate: float | None) -> None:
    path = write(tmp_path / name, "mpeg4")
    with LiveReader(LiveSource.at(str(path))) as reader:
        assert reader.frame_rate() == rate
        found = list(reader.frames())
        reader.check()
    assert np.array_equal([frame for _, frame in found], VideoSource(path).read())
    assert [each for each, _ in found] == pytest.approx(np.arange(NUM_FRAMES) / 25, abs=0.001)
    assert reader.num_dropped == 0


@pytest.mark.parametrize("drops", [False, True])
def test_only_what_is_sent_anyway_is_dropped(tmp_path: Path, drops: bool) -> None:
    source = replace(LiveSource.at(str(write(tmp_path / "a.mkv", "mpeg4"))), drops=drops)
    with LiveReader(source) as reader:
        frames = reader.frames()
        next(frames)
        deadline = time.monotonic() + 60
        while drops and not reader.num_dropped and time.monotonic() < deadline:
            time.sleep(0.01)  # nobody takes a frame
        num_taken = 1 + sum(1 for _ in frames)
    assert num_taken + reader.num_dropped == NUM_FRAMES
    assert (reader.num_dropped > 0) == drops


def test_an_error_comes_after_the_frames_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_text("no video")
    with LiveReader(LiveSource.at(str(path))) as reader:
        assert list(reader.frames()) == []
        with pytest.raises(DataError, match=r"a\.mkv: found no video"):
            reader.check()


def test_schemes() -> None:
    assert LiveSource.at("rtsp://host/path").drops and LiveSource.at("udp://host:1").drops
    assert not LiveSource.at("http://host/a.mp4").drops and not LiveSource.at("-").drops


@pytest.mark.parametrize(("name", "start"), [("a.mkv", 2.0), ("a.mp4", 2.0), ("a.ts", 0.0)])
def test_a_file_that_starts_later(tmp_path: Path, name: str, start: float) -> None:
    """Most clocks start at 0, that of a broadcast anywhere."""
    path = write(tmp_path / name, "mpeg4", first=50)
    times = [time for time, _ in VideoSource(path).timed_frames()]
    assert times == pytest.approx(start + np.arange(NUM_FRAMES) / 25, abs=0.002)
