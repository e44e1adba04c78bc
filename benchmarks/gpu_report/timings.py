"""Times of one peer of one operator; of nothing that is wrong."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict

import torch
import triton

import slt_fast
from benchmarks import floors, parity, timing
from benchmarks.cases import Case, Inputs, make_inputs
from benchmarks.peers import Function, Peer, peers, plain


def describe(device: str) -> dict:
    """The machine and its software."""
    facts = {
        "device": platform.processor() or platform.machine(),
        "slt_fast": slt_fast.__version__,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "Python": platform.python_version(),
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "device": properties.name,
            "CUDA": torch.version.cuda,
            "multiprocessors": properties.multi_processor_count,
            "L2 bytes": properties.L2_cache_size,
            "memory bytes": properties.total_memory,
        }
    return facts


def ceilings(device: str, dtype: str) -> dict:
    """Bytes and operations a second that this machine reaches."""
    return asdict(floors.measure_ceilings(device, dtype))


def compile_peer(case: Case, name: str) -> dict:
    """Runs a peer once, so that what it compiles lies in the compiler's cache when it is timed."""
    peer = _peer(case, name)
    parity.results(peer.build(case), make_inputs(case, peer.layout))
    return {}


def time_peer(case: Case, name: str, directions: Sequence[str], seconds: float) -> dict:
    """Checks a peer and times it; see time_checked."""
    peer = _peer(case, name)
    inputs = make_inputs(case, peer.layout)
    seeds = range(1, timing.num_input_sets(inputs))
    return time_checked(
        case,
        peer.build(case),
        [inputs, *(make_inputs(case, peer.layout, seed) for seed in seeds)],
        directions,
        seconds,
        poison=not peer.compile_seconds,
        slack=peer.slack,
    )


def _peer(case: Case, name: str) -> Peer:
    return next(peer for peer in peers(case.operator, case.device, "triton") if peer.name == name)


def time_checked(
    case: Case,
    function: Function,
    sets: list[Inputs],
    directions: Sequence[str],
    seconds: float,
    poison: bool = True,
    slack: float = 1.0,
) -> dict:
    """Times a function whose output and gradients are right.

    Args:
        case: What it computes.
        function: What is timed.
        sets: Input sets that it is timed with in turn.
        directions: Of "forward", "backward" and "both".
        seconds: About how long each time takes.
        poison: See parity.check.
        slack: What its errors may be in units of their bounds.

    Returns:
        {"worst": error / bound, "times": {direction: {mode: Timing or a sentence}}} and, on a GPU,
        "peak bytes": {direction: ...}; for a wrong result {"refused": why} and no time.
    """
    reference = parity.Reference.build(plain(case), sets[0])
    found = parity.check(function, sets[0], reference, poison)
    try:
        found.require(case.operator, slack)
    except parity.WrongResult as error:
        return {"refused": str(error)}
    result = {"worst": found.worst, "times": {}, "peak bytes": {}}
    device = sets[0].gradient.device
    for direction in directions:
        if device.type == "cuda":
            step = timing.make_step(function, sets[0], direction)
            result["peak bytes"][direction] = timing.peak_memory(step, device)
            del step  # and with it what the forward pass saved
        times = timing.time_call(function, sets, direction, seconds=seconds)
        result["times"][direction] = {
            mode: asdict(value) if isinstance(value, timing.Timing) else value
            for mode, value in times.items()
        }
    return result
