"""Times of a call: launched one by one or as a CUDA graph, with its inputs in the cache or not.

    hot    the same inputs in every call: what fits into the L2 cache is there
    cold   input sets in turn, together twice as large as the L2 cache
    graph  several calls captured as one CUDA graph: the GPU's time without launch overhead

A sample is the mean over as many calls as take a millisecond on a GPU; one call on a CPU.
"""

import functools
import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from benchmarks.cases import Case, Inputs, make_inputs

Step = Callable[[], object]
Steps = Callable[[], list[Step]]
Timing = dict[str, float]  # "median", "p20" and "p80" in seconds a call, and "num_samples"
SAMPLE_SECONDS = 1e-3
MAX_INPUT_SETS = 12


def make_step(function: Callable, inputs: Inputs, direction: str) -> Step:
    """Returns one call: "forward", "backward" (forward runs here, once) or "both"."""
    arguments = (*inputs.leaves, *inputs.constants)
    if direction == "forward":
        return lambda: function(*arguments)
    if direction == "both":
        return lambda: torch.autograd.grad(function(*arguments), inputs.leaves, inputs.gradient)
    y = function(*arguments)
    return lambda: torch.autograd.grad(y, inputs.leaves, inputs.gradient, retain_graph=True)


def time_call(
    function: Callable, sets: list[Inputs], direction: str, *, seconds: float
) -> dict[str, Timing | str]:
    """Takes all times of a checked function that the device has, each in about as many seconds.

    On a CPU they are {"hot": ...}, on a GPU also "cold" and, through graphs, "hot graph" and "cold
    graph", without the hot ones if the cache does not hold one set. There the sets are those of
    `input_sets`.
    """
    device = sets[0].gradient.device

    def steps(used: list[Inputs]) -> list[Step]:
        # Fresh leaves: autograd keeps the stream of their first use, and a graph has one stream.
        fresh = [inputs.changed(lambda tensor: tensor) for inputs in used]
        return [make_step(function, inputs, direction) for inputs in fresh]

    if device.type == "cpu":
        return {"hot": time_steps(steps(sets[:1]), device, seconds)}
    used = {"cold": sets, "hot": sets[:1]} if len(sets) > 1 else {"cold": sets}
    plans = {name: functools.partial(steps, some) for name, some in used.items()}
    times = {name: time_steps(plan(), device, seconds) for name, plan in plans.items()}
    graphs = {f"{name} graph": time_graph(plans[name], device, seconds) for name in plans}
    return times | graphs


def time_graph(
    plan: Steps, device: torch.device, seconds: float, calls_a_step: int = 1
) -> Timing | str:
    """Returns the time of steps in a CUDA graph, or a sentence if it cannot be captured."""
    try:
        replay, num_steps = captured(plan)
        return time_steps([replay], device, seconds, num_steps * calls_a_step)
    except RuntimeError as error:
        return f"not captured: {first_line(error)}"


def time_steps(
    steps: list[Step], device: torch.device, seconds: float, calls_a_step: int = 1
) -> Timing:
    """Runs steps in turn; at least 3 samples and at most 100."""
    turn = itertools.cycle(steps)
    run_calls(turn, len(steps) + 1, device)
    estimate = run_calls(turn, len(steps), device) / len(steps)
    on_gpu = device.type == "cuda"
    steps_a_sample = max(1, round(SAMPLE_SECONDS / estimate)) if on_gpu else 1
    num_samples = min(100, max(3, round(seconds / (estimate * steps_a_sample))))
    if on_gpu:
        samples = _gpu_samples(turn, num_samples, steps_a_sample)
    else:
        samples = [run_calls(turn, 1, device) for _ in range(num_samples)]
    calls = steps_a_sample * calls_a_step
    p20, median, p80 = (np.percentile(samples, [20, 50, 80]) / calls).tolist()
    return {"median": median, "p20": p20, "p80": p80, "num_samples": num_samples}


def run_calls(turn: Iterator[Step], num_calls: int, device: torch.device) -> float:
    """Returns the seconds of some calls, including the wait for the GPU."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(num_calls):
        next(turn)()
    wait()
    return time.perf_counter() - start


def _gpu_samples(turn: Iterator[Step], num_samples: int, steps_a_sample: int) -> list[float]:
    """Takes samples without a wait between them, so that launches can run ahead of the GPU."""
    events = [torch.cuda.Event(enable_timing=True) for _ in range(num_samples + 1)]
    events[0].record()
    for event in events[1:]:
        for _ in range(steps_a_sample):
            next(turn)()
        event.record()
    torch.cuda.synchronize()
    return [first.elapsed_time(last) * 1e-3 for first, last in itertools.pairwise(events)]


def captured(plan: Steps) -> tuple[Step, int]:
    """Captures the steps of a plan as one CUDA graph; returns its replay and number of steps.

    Raises:
        RuntimeError: Something in a step cannot be captured.
    """
    # A backward pass runs on the stream of its forward pass, which must be the captured one.
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        steps = plan()
        for step in steps:
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for step in steps:
            step()

    def replay(kept=steps) -> None:  # the steps own the memory that the graph reads
        graph.replay()

    return replay, len(steps)


def input_sets(case: Case, layout: str, first: Inputs) -> list[Inputs]:
    """Adds sets to a first one until all are twice as large as a GPU's L2 cache."""
    num_sets = 1
    if case.device == "cuda":
        cache = torch.cuda.get_device_properties(case.device).L2_cache_size
        num_bytes = sum(tensor.nbytes for tensor in first.tensors)
        num_sets = min(MAX_INPUT_SETS, max(1, -(-2 * cache // num_bytes)))
    return [first, *(make_inputs(case, layout, seed) for seed in range(1, num_sets))]


def peak_memory(step: Step) -> int:
    """Returns the most bytes that a call holds on a GPU, without those allocated before it."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    return torch.cuda.max_memory_allocated() - before


def first_line(error: BaseException) -> str:
    """Writes an error as one line of a table."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}"[:300]
