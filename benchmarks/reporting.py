"""What the benchmarks of the operators share: check, then time, then tell."""

from __future__ import annotations

import functools
import platform
from dataclasses import asdict

import numpy as np
import pytest
import torch
import triton

from benchmarks import floors, parity, timing
from benchmarks.cases import Case, Inputs, case_of, make_inputs
from benchmarks.peers import Peer, peers, plain

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ROUND_SECONDS = 0.2  # about how long each time is taken
# What conftest.py prints at the end.
RATIOS: list[dict] = []
FLOWS: list[dict] = []


def peer_names(operator: str) -> list[str]:
    """All peers of an operator on the device at hand."""
    return [peer.name for peer in peers(operator, DEVICE)]


def run(benchmark, operator: str, side: int, name: str, direction: str) -> None:
    """Times one peer, if it is right."""
    case = case_of(operator, side, DEVICE)
    function, inputs = checked(case, name)
    step = timing.make_step(function, inputs, direction)
    benchmark.extra_info |= facts(case)
    extra = benchmark.extra_info
    extra["peak bytes"] = timing.peak_memory(step, inputs.gradient.device)
    if DEVICE == "cuda":
        sets = [inputs] + [
            make_inputs(case, peer_of(operator, name).layout, seed)
            for seed in range(1, timing.num_input_sets(inputs))
        ]
        times = timing.time_call(function, sets, direction)
        extra["times"] = {
            key: asdict(value) if isinstance(value, timing.Timing) else value
            for key, value in times.items()
        }

    def timed() -> None:
        step()
        timing.synchronize(inputs.gradient.device)

    benchmark.pedantic(timed, rounds=num_rounds(timed))
    if not benchmark.disabled:
        extra["p20"], extra["p80"] = spread(benchmark.stats.stats.data)
        median = benchmark.stats.stats.median
        if DEVICE == "cuda":
            graph = times["cold graph"]
            median = (graph if isinstance(graph, timing.Timing) else times["cold"]).median
        ceilings = floors.measure_ceilings(DEVICE, case.dtype)
        extra["share of floor"] = ceilings.seconds(floors.ideal(case, direction)) / median


def compare(benchmark, operator: str, side: int, layout: str, direction: str) -> None:
    """Times ours and eager PyTorch in turn; the benchmark's own time is that of both together."""
    case = case_of(operator, side, DEVICE)
    steps, seconds = [], {"ours": [], "eager": []}
    for name in seconds:
        function, inputs = checked(case, f"{name}, {layout}")
        steps.append(timing.make_step(function, inputs, direction))

    turns = list(zip(steps, seconds.values(), strict=True))

    def both() -> None:
        for step, taken in turns:
            taken.append(timing.run_calls(iter([step]), 1, inputs.gradient.device))
        turns.reverse()  # the second one finds the cache and the allocator otherwise

    rounds = num_rounds(both)
    benchmark.pedantic(both, rounds=rounds)
    ours, eager = (np.array(taken[-rounds:]) for taken in seconds.values())
    medians = {"ours": float(np.median(ours)), "eager": float(np.median(eager))}
    ratios = ours / eager
    p20, p80 = spread(ratios)
    row = {"operator": operator, "side": side, "layout": layout, "direction": direction}
    row |= medians | {"ratio": medians["ours"] / medians["eager"], "p20": p20, "p80": p80}
    benchmark.extra_info |= facts(case) | row
    RATIOS.append(row)


@functools.lru_cache(maxsize=2)  # of the two that are compared; a GPU holds no more
def checked(case: Case, name: str) -> tuple[parity.Function, Inputs]:
    """A peer's function and its inputs.

    Raises:
        WrongResult: Its output or a gradient is wrong; it gets no time.
    """
    peer = peer_of(case.operator, name)
    try:
        function, inputs = peer.build(case), make_inputs(case, peer.layout)
        is_compiled = peer.compile_seconds > 0
        found = parity.check(function, inputs, reference(case), poison=not is_compiled)
    except RuntimeError as error:  # a fused attention that does not take these sizes, or too large
        if name.startswith(("ours", "eager")):
            raise
        pytest.skip(f"{name} cannot run: {timing.first_line(error)}")
    found.require(name, peer.slack)
    return function, inputs


@functools.lru_cache(maxsize=1)
def reference(case: Case) -> parity.Reference:
    """The exact results, the same for all peers of a case."""
    return parity.Reference.build(plain(case), make_inputs(case, "channels_last"))


def peer_of(operator: str, name: str) -> Peer:
    return next(peer for peer in peers(operator, DEVICE) if peer.name == name)


def num_rounds(step: timing.Step) -> int:
    """At least 3 and at most 50; the call that tells is the warm-up, too."""
    seconds = timing.run_calls(iter([step]), 1, torch.device(DEVICE))
    return int(min(50, max(3, ROUND_SECONDS / seconds)))


def spread(values) -> tuple[float, float]:
    """The 20th and the 80th percentile."""
    p20, p80 = np.percentile(values, [20, 80]).tolist()
    return p20, p80


def facts(case: Case) -> dict[str, object]:
    """What a figure must not be read without."""
    is_gpu = case.device == "cuda"
    return {
        "shape": case.shape,
        "dtype": case.dtype,
        "device": torch.cuda.get_device_name() if is_gpu else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "versions": f"torch {torch.__version__}, triton {triton.__version__}",
    }
