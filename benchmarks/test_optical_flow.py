"""The flow of a pair at 224x224 on one thread against OpenCV's, and of a clip on two threads.

The pairs are the shared Middlebury and MPI-Sintel ones, and each row has their mean end-point
errors; without them a moving texture is timed. DualTVL1 is compared if cv2 is opencv-contrib's.
`python -m benchmarks.gpu_report` times the flow on a GPU.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import comparison
from benchmarks.flow_pairs import PAIRS, FlowPair, load_pair
from slt_fast.ops import optical_flow

SIDE = 224
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FLOW_DATA = Path(os.environ.get("SLT_FAST_TEST_DATA", DATA)) / "flow"


Flow = Callable[[np.ndarray], np.ndarray]


def _cv2_medium(finest_scale: int) -> Flow:
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def compute(frames: np.ndarray) -> np.ndarray:
        dis.setFinestScale(finest_scale)
        return dis.calc(frames[0], frames[1], None).transpose(2, 0, 1)

    return compute


def _dual_tvl1(frames: np.ndarray) -> np.ndarray:
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    return solver.calc(frames[0], frames[1], None).transpose(2, 0, 1)


def _ours(preset: str, instruction_set: str = "") -> Flow:
    def compute(frames: np.ndarray) -> np.ndarray:
        os.environ["SLT_FAST_CPU"] = instruction_set
        return optical_flow(torch.from_numpy(frames), preset=preset)[0].numpy()

    return compute


FLOWS = {
    "cv2 medium": _cv2_medium(1),
    "cv2 medium, finest scale 0": _cv2_medium(0),
    "cv2 DualTVL1": _dual_tvl1,
    "fast": _ours("fast"),
    "default": _ours("default"),
    "default, baseline code": _ours("default", "baseline"),
    "best": _ours("best"),
}
# Ours, and the peer.
CASES = [
    ("default", "cv2 medium, finest scale 0"),
    ("default", "cv2 medium"),
    ("default, baseline code", "cv2 medium, finest scale 0"),
    ("fast", "cv2 medium"),
    ("best", "cv2 medium, finest scale 0"),
]
if hasattr(cv2, "optflow"):
    CASES.append(("default", "cv2 DualTVL1"))


@pytest.fixture(scope="module")
def pairs() -> list[FlowPair]:
    if FLOW_DATA.is_dir():
        return [load_pair(FLOW_DATA / name, (SIDE, SIDE)) for name in PAIRS]
    texture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE + 2), dtype=np.uint8)
    texture = cv2.GaussianBlur(texture, (0, 0), 2)
    frames = np.stack([texture[:, 2:], texture[:, :-2]])
    motion = np.broadcast_to(np.float32([2, 0])[:, None, None], (2, SIDE, SIDE))
    return [FlowPair(frames, motion, np.ones((SIDE, SIDE), bool))]


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    yield
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])


def sampled(compute: Flow, pairs: list[FlowPair]) -> Callable[[], float]:
    """Returns what takes a sample: the seconds of a pair, over all pairs."""

    def sample() -> float:
        start = time.perf_counter()
        for pair in pairs:
            compute(pair.frames)
        return (time.perf_counter() - start) / len(pairs)

    return sample


def end_point_error(compute: Flow, pairs: list[FlowPair]) -> float:
    return float(np.mean([pair.end_point_error(compute(pair.frames)) for pair in pairs]))


@pytest.mark.parametrize(("ours", "other"), CASES, ids=map(" against ".join, CASES))
def test_pair(benchmark, monkeypatch, one_thread, pairs, ours, other) -> None:
    monkeypatch.setenv("SLT_FAST_CPU", "")
    compute, yardstick = FLOWS[ours], FLOWS[other]
    errors = [end_point_error(flow, pairs) for flow in (compute, yardstick)]  # and the warm-up
    assert max(errors) < 0.5  # no time for a flow that does not find the motion
    samples = comparison.in_turns(
        benchmark,
        sampled(compute, pairs),
        sampled(yardstick, pairs),
        num_pairs=3 if "TVL1" in other else 15,
    )
    facts = {"size": f"a pair of {SIDE}x{SIDE}", "threads": "1", "ours": ours, "peer": other}
    facts |= {"end-point errors": " and ".join(f"{error:.3f}" for error in errors)}
    comparison.add_row(benchmark, comparison.Row("optical_flow", facts, *samples.T))


def test_clip(benchmark, pairs) -> None:
    """A clip on two threads and on one; two share its pairs."""
    frames = torch.from_numpy(np.concatenate([pairs[0].frames] * 32))
    threads = torch.get_num_threads()

    def sample(num_threads: int) -> float:
        torch.set_num_threads(num_threads)
        start = time.perf_counter()
        flow = optical_flow(frames)
        seconds = time.perf_counter() - start
        assert flow.shape == (63, 2, SIDE, SIDE)
        return seconds / 63

    try:
        samples = comparison.in_turns(benchmark, lambda: sample(2), lambda: sample(1), num_pairs=7)
    finally:
        torch.set_num_threads(threads)
    facts = {"size": f"64 frames of {SIDE}x{SIDE}", "threads": "2", "ours": "default"}
    facts |= {"peer": "default, 1 thread", "end-point errors": "the same"}
    comparison.add_row(benchmark, comparison.Row("optical_flow", facts, *samples.T))
