"""The flow of a pair at 224x224 on one thread against OpenCV's, and of a clip on two threads.

The pairs are the shared Middlebury and MPI-Sintel ones, and each row has their mean end-point
errors; without them a moving texture is timed. DualTVL1 is compared if cv2 is opencv-contrib's.
`python -m benchmarks.gpu_report` times the flow on a GPU.
"""

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import comparison
from benchmarks.cases import moving_clip
from benchmarks.flow_pairs import PAIRS, FlowPair, load_pair
from slt_fast.ops import optical_flow

SIDE = 224
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FLOW_DATA = Path(os.environ.get("SLT_FAST_TEST_DATA", DATA)) / "flow"
Flow = Callable[[np.ndarray], np.ndarray]
pytestmark = pytest.mark.usefixtures("keep_threads")


def _cv2_medium(finest_scale: int) -> Flow:
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def compute(frames: np.ndarray) -> np.ndarray:
        dis.setFinestScale(finest_scale)
        return dis.calc(*frames, None).transpose(2, 0, 1)

    return compute


def _dual_tvl1(frames: np.ndarray) -> np.ndarray:
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    return solver.calc(*frames, None).transpose(2, 0, 1)


def _ours(preset: str, instruction_set: str = "") -> Flow:
    def compute(frames: np.ndarray) -> np.ndarray:
        os.environ["SLT_FAST_CPU"] = instruction_set
        return optical_flow(torch.from_numpy(frames), preset=preset)[0].numpy()

    return compute


OURS = {preset: _ours(preset) for preset in ("fast", "default", "best")}
OURS["default, baseline code"] = _ours("default", "baseline")
PEERS = {"cv2 medium, finest scale 0": _cv2_medium(0), "cv2 medium": _cv2_medium(1)}
PEERS["cv2 DualTVL1"] = _dual_tvl1
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
    motion = np.broadcast_to(np.float32([-2, -1])[:, None, None], (2, SIDE, SIDE))
    frames = moving_clip(2, SIDE, SIDE).numpy()
    return [FlowPair(frames, motion, np.ones((SIDE, SIDE), bool))]


def seconds_a_pair(compute: Flow, pairs: list[FlowPair]) -> float:
    start = time.perf_counter()
    for pair in pairs:
        compute(pair.frames)
    return (time.perf_counter() - start) / len(pairs)


@pytest.mark.parametrize(("ours", "peer"), CASES, ids=map(" against ".join, CASES))
def test_pair(benchmark, monkeypatch, pairs, ours, peer) -> None:
    monkeypatch.setenv("SLT_FAST_CPU", "")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    flows = OURS[ours], PEERS[peer]
    # This also warms up.
    errors = [np.mean([p.end_point_error(flow(p.frames)) for p in pairs]) for flow in flows]
    assert max(errors) < 0.5  # no time for a flow that does not find the motion
    samplers = [functools.partial(seconds_a_pair, flow, pairs) for flow in flows]
    samples = comparison.in_turns(benchmark, *samplers, num_pairs=3 if "TVL1" in peer else 15)
    facts = {"size": f"a pair of {SIDE}x{SIDE}", "threads": "1", "ours": ours, "peer": peer}
    facts |= {"end-point errors": " and ".join(f"{error:.3f}" for error in errors)}
    comparison.add_row(benchmark, comparison.Row("optical_flow", facts, *samples.T))


def test_clip(benchmark, pairs) -> None:
    frames = torch.from_numpy(np.concatenate([pairs[0].frames] * 32))

    def sample(num_threads: int) -> float:
        torch.set_num_threads(num_threads)
        start = time.perf_counter()
        flow = optical_flow(frames)
        seconds = time.perf_counter() - start
        assert flow.shape == (63, 2, SIDE, SIDE)
        return seconds / 63

    samples = comparison.in_turns(benchmark, lambda: sample(2), lambda: sample(1), num_pairs=7)
    facts = {"size": f"64 frames of {SIDE}x{SIDE}", "threads": "2", "ours": "default"}
    facts |= {"peer": "default, 1 thread", "end-point errors": "the same"}
    comparison.add_row(benchmark, comparison.Row("optical_flow", facts, *samples.T))
