"""Decoding in a process with limits."""

from pathlib import Path

import numpy as np
import pytest

from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, UserError
from slt_fast.serving.decoding import decoding
from slt_fast.serving.limits import Limits
from slt_fast.visualize import write_video


def read(path: Path, name: str, limits: Limits) -> list[tuple[float, np.ndarray]]:
    with decoding(path, name, limits) as decoded:
        return list(decoded.frames)


def test_frames_are_those_of_the_video(video: Path) -> None:
    source = VideoSource(video)
    with decoding(video, "talk", Limits()) as decoded:
        frames = list(decoded.frames)
    assert decoded.frame_rate == source.frame_rate()
    for (time, frame), (true_time, true) in zip(frames, source.timed_frames(), strict=True):
        assert time == true_time and np.array_equal(frame, true)


def test_what_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "secret-place.mp4"
    path.write_text("no video")
    with pytest.raises(UserError, match=r"^mine\.mp4: found text; expected a video file$"):
        read(path, "mine.mp4", Limits())


def test_too_much(tmp_path: Path, video: Path) -> None:
    with pytest.raises(DataError, match="^talk: found a longer video; expected at most 1 seconds"):
        read(video, "talk", Limits(max_seconds=1))
    large = tmp_path / "large.mp4"
    write_video(large, [np.zeros((4000, 4000, 3), np.uint8)] * 3)
    with pytest.raises(UserError, match="^large: "):
        read(large, "large", Limits(decode_megabytes=64))
    assert len(read(large, "large", Limits())) == 3


def test_a_client_may_leave_in_the_middle(video: Path) -> None:
    with decoding(video, "talk", Limits()) as decoded:
        next(decoded.frames)
