"""The flow of a pair at 224x224 on one thread, beside OpenCV's DIS, and of a clip on two threads.

The pairs are the shared Middlebury and MPI-Sintel ones, whose mean end-point error stands beside
each time; without them a moving texture is timed.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks.flow_pairs import PAIRS, FlowPair, load_pair
from slt_fast.ops import optical_flow
from slt_fast.ops.extension import cuda_refusal

SIDE = 224
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FLOW_DATA = Path(os.environ.get("SLT_FAST_TEST_DATA", DATA)) / "flow"


def _cv2_medium(finest_scale: int):
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def compute(frames: np.ndarray) -> np.ndarray:
        dis.setFinestScale(finest_scale)
        return dis.calc(frames[0], frames[1], None).transpose(2, 0, 1)

    return compute


def _ours(preset: str):
    return lambda frames: optical_flow(torch.from_numpy(frames), preset=preset)[0].numpy()


PEERS = {
    "cv2 medium, finest scale 0": _cv2_medium(0),
    "cv2 medium": _cv2_medium(1),
    "fast": _ours("fast"),
    "default": _ours("default"),
    "best": _ours("best"),
    "opencv_medium": _ours("opencv_medium"),
}


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


@pytest.mark.parametrize("peer", PEERS)
def test_pair(benchmark, one_thread, pairs, peer) -> None:
    """Times all pairs; a pair's time is that over their number, in `extra_info`."""
    compute = PEERS[peer]
    flows = benchmark.pedantic(
        lambda: [compute(pair.frames) for pair in pairs], rounds=15, warmup_rounds=2
    )
    assert all(np.isfinite(flow).all() for flow in flows)
    if not benchmark.disabled:
        benchmark.extra_info["ms a pair"] = benchmark.stats.stats.median / len(pairs) * 1e3
    errors = [pair.end_point_error(flow) for pair, flow in zip(pairs, flows, strict=True)]
    benchmark.extra_info["end-point error"] = float(np.mean(errors))
    assert np.mean(errors) < 0.5  # nothing is timed that does not find the motion


@pytest.mark.parametrize("num_threads", [1, 2])
def test_clip(benchmark, pairs, num_threads) -> None:
    """A clip of 64 frames; the pairs are shared among the threads."""
    frames = torch.from_numpy(np.concatenate([pairs[0].frames] * 32))
    threads = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        flow = benchmark.pedantic(lambda: optical_flow(frames), rounds=5, warmup_rounds=1)
    finally:
        torch.set_num_threads(threads)
    assert flow.shape == (63, 2, SIDE, SIDE)


@pytest.mark.skipif(cuda_refusal() is not None, reason=f"no flow on a GPU: {cuda_refusal()}")
@pytest.mark.parametrize("preset", ["fast", "default", "best"])
def test_clip_on_a_gpu(benchmark, pairs, preset) -> None:
    """The same clip; scripts/gpu_report.py also times it as a CUDA graph."""
    frames = torch.from_numpy(np.concatenate([pairs[0][0]] * 32)).cuda()

    def compute() -> torch.Tensor:
        flow = optical_flow(frames, preset=preset)
        torch.cuda.synchronize()
        return flow

    flow = benchmark.pedantic(compute, rounds=20, warmup_rounds=3)
    expected = optical_flow(frames[:2].cpu(), preset=preset)
    assert (flow[:1].cpu() - expected).abs().median() <= 1e-4
