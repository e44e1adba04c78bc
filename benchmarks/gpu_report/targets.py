"""What the operators should reach on a GPU, and what was found.

The figures are those of the project's plan for an H100: 1.5 times the floors of two kernels forward
and of three backward, at 7x7 with 256 maps in bfloat16. Other GPUs are asked for the same factor.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks import floors
from benchmarks.cases import Case
from benchmarks.floors import Ceilings
from benchmarks.gpu_report.report import Report
from benchmarks.jobs import Outcome
from benchmarks.peers import OURS

COMPILED = "torch.compile"
EAGER = ("eager, channels_last", "eager, NCHW")
EFFICIENT = "SDPA, memory-efficient"
FACTOR = 1.5
FLOW_CLIP, FLOW_SECONDS = "flow default 224x224", 60e-6
H100_SECONDS = {"forward": 36e-6, "backward": 60e-6}
MATRIX_SHARE = 0.55
# The GPU's own time with nothing in the cache comes first; on a CPU there is only the last.
MODES = ("cold graph", "cold", "hot")


class Target(NamedTuple):
    """A target; passed is None if nothing was measured."""

    target: str
    found: str
    passed: bool | None


class Times(NamedTuple):
    """Median times of all peers.

    Args:
        cases: For each (operator, side) the case that all peers were timed with.
        medians: Seconds of (case, peer, direction): through graphs, with inputs not in the cache.
    """

    cases: dict[tuple[str, int], Case]
    medians: dict[tuple[Case, str, str], float]

    def of(self, operator: str, side: int, peer: str, direction: str) -> float | None:
        """Returns a median, or None if it was not measured."""
        case = self.cases.get((operator, side))
        return None if case is None else self.medians.get((case, peer, direction))


def found(report: Report) -> list[Target]:
    """Returns all targets, as far as they were measured."""
    result = []
    if ceilings := report.result("ceilings"):
        device = str(report.result("environment").get("device", ""))
        times = times_of(report.section("timings"))
        result += timing_targets(times, Ceilings(**ceilings), device)
    return result + flow_targets(report.section("flow")) + check_targets(report)


def times_of(outcomes: list[Outcome]) -> Times:
    """Returns the median times of all peers that were timed."""
    times = Times({}, {})
    for outcome in outcomes:
        case, name = outcome.job.arguments["case"], outcome.job.arguments["name"]
        for direction, modes in (outcome.result or {}).get("times", {}).items():
            times.cases.setdefault((case.operator, case.H), case)
            times.medians[case, name, direction] = chosen(modes)["median"]
    return times


def chosen(modes: dict) -> dict:
    """Returns the time that counts; a mode without a time is a sentence."""
    return next(modes[mode] for mode in MODES if isinstance(modes.get(mode), dict))


def timing_targets(times: Times, ceilings: Ceilings, device: str) -> list[Target]:
    """Returns all targets that are times of the attention."""
    block, result = "pixel_attention_block", []
    if case := times.cases.get((block, 7)):
        for direction, limit in H100_SECONDS.items():
            if "H100" not in device:
                limit = FACTOR * ceilings.seconds(floors.kernels(case, direction))
            name = f"{block} 7x7, B = {case.B}, {direction}"
            result.append(_at_most(name, times.of(block, 7, OURS, direction), limit))
    eager = [times.of(block, 7, peer, "forward") for peer in EAGER]
    fastest = min((value for value in eager if value), default=None)
    ours = times.of(block, 7, OURS, "forward")
    compiled = times.of(block, 7, COMPILED, "forward")
    result.append(_speedup(f"{block} 7x7 forward against the faster eager", ours, fastest, 2.5))
    result.append(_speedup(f"{block} 7x7 forward against torch.compile", ours, compiled, 1.5))
    for operator in ("pixel_attention", block):
        if case := times.cases.get((operator, 28)):
            for direction in H100_SECONDS:
                seconds = times.of(operator, 28, OURS, direction)
                result.append(_share(case, direction, seconds, ceilings))
        for direction in ("forward", "both"):
            ours, other = (times.of(operator, 56, peer, direction) for peer in (OURS, EFFICIENT))
            name = f"{operator} 56x56 {direction} against SDPA memory-efficient"
            result.append(_speedup(name, ours, other, 2.0))
    return result


def flow_targets(outcomes: list[Outcome]) -> list[Target]:
    """Returns the target of the flow: a pair in a clip of 65 frames, launched one by one."""
    times = {o.job.name: (o.result or {}).get("times") for o in outcomes}.get(FLOW_CLIP)
    if not times:
        return []
    return [_at_most(f"{FLOW_CLIP}, a pair", times["launched"]["median"], FLOW_SECONDS)]


def check_targets(report: Report) -> list[Target]:
    """Returns the targets that are tests or checks."""
    outcomes = [test["outcome"] for test in report.tests if "equal_to_the_bit" in test["name"]]
    repeats = [value == "passed" for value in outcomes if value in ("passed", "failed")]
    found = [(outcome.result or {}).get("passed") for outcome in report.section("sanitizer")]
    tools = [value for value in found if value is not None]
    return [
        Target(name, f"{sum(checks)} of {len(checks)} passed", all(checks) if checks else None)
        for name, checks in (
            ("gradients bit-equal over repeats", repeats),
            ("compute-sanitizer clean", tools),
        )
    ]


def _at_most(name: str, seconds: float | None, limit: float) -> Target:
    name = f"{name} <= {limit * 1e6:.0f} us"
    if seconds is None:
        return Target(name, "not measured", None)
    return Target(name, f"{seconds * 1e6:.1f} us", seconds <= limit)


def _speedup(name: str, ours: float | None, other: float | None, factor: float) -> Target:
    name = f"{name} >= {factor:.1f}x"
    if ours is None or other is None:
        return Target(name, "not measured", None)
    return Target(name, f"{other / ours:.2f}x", other / ours >= factor)


def _share(case: Case, direction: str, seconds: float | None, ceilings: Ceilings) -> Target:
    """Returns the target of 28x28, where the matrix units are the limit."""
    name = f"{case.operator} 28x28 {direction} >= {MATRIX_SHARE:.0%} of the matrix units' floor"
    if seconds is None:
        return Target(name, "not measured", None)
    operations = sum(work.operations for work in floors.ideal(case, direction))
    share = operations / ceilings.rate / seconds
    return Target(name, f"{share:.0%}", share >= MATRIX_SHARE)
