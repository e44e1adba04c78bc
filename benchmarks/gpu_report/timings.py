"""Times of one peer of one operator, or of the flow of a clip, if the result is right."""

import functools
from collections.abc import Sequence

import torch

from benchmarks import parity, timing
from benchmarks.cases import Case, make_inputs, moving_clip
from benchmarks.peers import checked, peer_of
from slt_fast.ops import optical_flow
from slt_fast.ops.extension import EXTENSION, REFUSAL, cuda_refusal

# Bounds of the flow's differences in pixels; rounding moves a few pixels further.
MEDIAN, P99 = 1e-4, 1e-2


def compile_peer(case: Case, name: str) -> dict:
    """Runs a peer once, which fills the compiler's cache before the peer is timed."""
    peer = peer_of(case, name, "triton")
    parity.results(peer.build(case), make_inputs(case, peer.layout))
    return {}


def time_peer(case: Case, name: str, directions: Sequence[str], seconds: float) -> dict:
    """Times a peer whose output and gradients are right.

    Returns:
        {"worst": error / bound, "errors": {name: error}, "times": {direction: {mode: Timing or a
        sentence}}} and, on a GPU, "peak bytes": {direction: ...}; for a wrong result
        {"refused": why} and no time.
    """
    peer = peer_of(case, name, "triton")
    try:
        function, inputs, found = checked(case, peer)
    except parity.WrongResult as error:
        return {"refused": str(error)}
    sets = timing.input_sets(case, peer.layout, inputs)
    result: dict = {"worst": found.worst, "errors": found.errors, "times": {}, "peak bytes": {}}
    for direction in directions:
        if case.device == "cuda":
            step = timing.make_step(function, inputs, direction)
            result["peak bytes"][direction] = timing.peak_memory(step)
            del step  # and with it what the forward pass saved
        result["times"][direction] = timing.time_call(function, sets, direction, seconds=seconds)
    return result


def time_flow(preset: str, T: int, H: int, W: int, device: str, seconds: float) -> dict:
    """Times a clip whose flow is the CPU's.

    Returns:
        "times" of a pair, "launched" and as a "graph", and "peak bytes", or {"refused": why}.
    """
    refusal = cuda_refusal() if device == "cuda" else None
    if EXTENSION is None or refusal:
        return {"refused": refusal or REFUSAL}
    median, p99 = _difference(preset, H, W, device)
    detail = f"median {median:.1e}, p99 {p99:.1e} pixels from the CPU's flow"
    if not (median <= MEDIAN and p99 <= P99):
        return {"refused": f"found {detail}; expected {MEDIAN} and {P99}", "passed": False}
    place = torch.device(device)
    step = functools.partial(optical_flow, moving_clip(T, H, W).to(device), preset=preset)
    times: dict = {"launched": timing.time_steps([step], place, seconds, T - 1)}
    result = {"times": times, "detail": detail, "peak bytes": 0}
    if device == "cuda":
        times["graph"] = timing.time_graph(lambda: [step], place, seconds, T - 1)
        result["peak bytes"] = timing.peak_memory(step)
    return result


def _difference(preset: str, H: int, W: int, device: str) -> list[float]:
    """Returns the median and the 99th percentile of the differences from the CPU's flow."""
    frames = moving_clip(4, H, W)
    flow = optical_flow(frames.to(device), preset=preset).cpu()
    difference = (flow - optical_flow(frames, preset=preset)).abs().flatten().double()
    return difference.quantile(torch.tensor([0.5, 0.99], dtype=torch.float64)).tolist()
