"""The flow of a pair at 224x224 on one thread, beside OpenCV's, and of a clip on two threads.

The pairs are the shared Middlebury and MPI-Sintel ones, whose mean end-point error stands beside
each time; without them a moving texture is timed. Each flow takes turns with the one that it is
compared with, so that a ratio is of one and the same minute. DualTVL1 takes part where cv2 is
opencv-contrib's.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import reporting
from benchmarks.flow_pairs import PAIRS, FlowPair, load_pair
from slt_fast.ops import optical_flow
from slt_fast.ops.extension import cuda_refusal

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
    "opencv_medium": _ours("opencv_medium"),
}
# Which is compared with which.
CASES = [
    ("default", "cv2 medium, finest scale 0"),
    ("default", "cv2 medium"),
    ("default, baseline code", "cv2 medium, finest scale 0"),
    ("fast", "cv2 medium"),
    ("best", "cv2 medium, finest scale 0"),
    ("opencv_medium", "cv2 medium"),
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


def seconds(compute: Flow, pairs: list[FlowPair]) -> float:
    start = time.perf_counter()
    for pair in pairs:
        compute(pair.frames)
    return (time.perf_counter() - start) / len(pairs)


def end_point_error(compute: Flow, pairs: list[FlowPair]) -> float:
    return float(np.mean([pair.end_point_error(compute(pair.frames)) for pair in pairs]))


@pytest.mark.parametrize(("ours", "other"), CASES, ids=map(" against ".join, CASES))
def test_pair(benchmark, monkeypatch, one_thread, pairs, ours, other) -> None:
    """The benchmark's own time is that of a round: all pairs by the one, and by the other."""
    monkeypatch.setenv("SLT_FAST_CPU", "")
    compute, yardstick = FLOWS[ours], FLOWS[other]
    errors = [end_point_error(flow, pairs) for flow in (compute, yardstick)]  # and the warm-up
    assert max(errors) < 0.5  # nothing is timed that does not find the motion
    taken: list[tuple[float, float]] = []
    benchmark.pedantic(
        lambda: taken.append((seconds(compute, pairs), seconds(yardstick, pairs))),
        rounds=3 if "TVL1" in other else 15,
    )
    own, others = np.array(taken).T
    p20, p80 = reporting.spread(others / own)
    row = {
        "flow": f"{ours} against {other}",
        "seconds": float(np.median(own)),
        "ratio": float(np.median(others / own)),
        "p20": p20,
        "p80": p80,
        "end-point errors": errors,
    }
    benchmark.extra_info |= row
    reporting.FLOWS.append(row)


def test_clip(benchmark, pairs) -> None:
    """A clip of 64 frames on one thread and on two, in turns; two share its pairs."""
    frames = torch.from_numpy(np.concatenate([pairs[0].frames] * 32))
    threads = torch.get_num_threads()
    taken: dict[int, list[float]] = {1: [], 2: []}

    def both() -> None:
        for num_threads, times in taken.items():
            torch.set_num_threads(num_threads)
            start = time.perf_counter()
            flow = optical_flow(frames)
            times.append(time.perf_counter() - start)
            assert flow.shape == (63, 2, SIDE, SIDE)

    try:
        benchmark.pedantic(both, rounds=10, warmup_rounds=1)
    finally:
        torch.set_num_threads(threads)
    alone, together = (np.array(times[1:]) for times in taken.values())
    p20, p80 = reporting.spread(alone / together)
    row = {
        "flow": "64 frames, 2 threads against 1",
        "seconds": float(np.median(together)) / 63,
        "ratio": float(np.median(alone / together)),
        "p20": p20,
        "p80": p80,
    }
    benchmark.extra_info |= row
    reporting.FLOWS.append(row)


@pytest.mark.skipif(cuda_refusal() is not None, reason=f"no flow on a GPU: {cuda_refusal()}")
@pytest.mark.parametrize("preset", ["fast", "default", "best"])
def test_clip_on_a_gpu(benchmark, pairs, preset) -> None:
    """The same clip; scripts/gpu_report.py also times it as a CUDA graph."""
    frames = torch.from_numpy(np.concatenate([pairs[0].frames] * 32)).cuda()

    def compute() -> torch.Tensor:
        flow = optical_flow(frames, preset=preset)
        torch.cuda.synchronize()
        return flow

    flow = benchmark.pedantic(compute, rounds=20, warmup_rounds=3)
    expected = optical_flow(frames[:2].cpu(), preset=preset)
    assert (flow[:1].cpu() - expected).abs().median() <= 1e-4
