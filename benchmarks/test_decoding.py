"""Videos decoded on one thread against OpenCV's reader, to RGB; pictures are equal to the bit."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import comparison
from slt_fast.data.video.source import VideoSource

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CLIPS = Path(os.environ.get("SLT_FAST_TEST_DATA", DATA)) / "clips"
NAMES = (
    "autsl/signer0_sample1000_color.mp4",
    "pose/test_video.mp4",
    "dailymoth/0043626-2023.1.4.gif",
)


def opencv_frames(path: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    while capture.grab():
        image = capture.retrieve()[1]
        frame = np.empty_like(image)
        cv2.mixChannels([image], [frame], [0, 2, 1, 1, 2, 0])
        yield frame


def sampled(frames: Callable[[], Iterator[np.ndarray]], num_frames: int) -> Callable[[], float]:
    """Returns what takes a sample: the seconds of a frame."""

    def sample() -> float:
        start = time.perf_counter()
        assert sum(1 for _ in frames()) == num_frames
        return (time.perf_counter() - start) / num_frames

    return sample


@pytest.mark.parametrize("name", NAMES)
def test_clip(benchmark, name: str) -> None:
    path = CLIPS / name
    if not path.is_file():
        pytest.skip(f"no real test data at {path} (set SLT_FAST_TEST_DATA to its folder)")
    frames = VideoSource(path).read()
    assert all(map(np.array_equal, frames, opencv_frames(path)))
    ours = sampled(VideoSource(path).frames, len(frames))
    peer = sampled(lambda: opencv_frames(path), len(frames))
    samples = comparison.in_turns(benchmark, ours, peer, num_pairs=11)
    T, H, W = frames.shape[:3]
    facts = {"size": f"{T} frames of {W}x{H}", "threads": "1", "file": path.suffix}
    comparison.add_row(benchmark, comparison.Row("decoding", facts, *samples.T))
