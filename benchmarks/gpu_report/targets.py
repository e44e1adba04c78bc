"""What the operators should reach on a GPU, and what was found.

The figures are those of the project's plan for an H100: 1.5 times the floors of two kernels forward
and of three backward, at 7x7 with 256 maps in bfloat16. Other GPUs are asked for the same factor.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks import floors
from benchmarks.cases import SIDES, Case, regime_cases
from benchmarks.floors import Ceilings
from benchmarks.gpu_report.report import Report
from benchmarks.jobs import Outcome
from benchmarks.peers import OURS

EAGER = ("eager, channels_last", "eager, NCHW")
EFFICIENT = "SDPA, memory-efficient"
FACTOR = 1.5
FLOW_CLIP, FLOW_SECONDS = "flow default 224x224", 60e-6
H100_SECONDS = {"forward": 36e-6, "backward": 60e-6}
LAUNCHED = ("forward, launched", "both, launched")
COMPILED = ("torch.compile",)
# Operator, side, direction and peers that have to take so many times as long.
RATIOS = [
    *(("pixel_attention", side, "backward", COMPILED, 1.0) for side in (14, 28)),
    ("pixel_attention", 56, "backward", EAGER, 1 / 0.9),
    *(
        ("pixel_attention_block", side, direction, peers, 1.0)
        for side in SIDES
        for direction in ("forward", "both")
        for peers in (EAGER, COMPILED)
    ),
]
MATRIX_SHARE = 0.55
# The GPU's own time with nothing in the cache comes first; on a CPU there is only the last.
MODES = ("cold graph", "cold", "hot")


class Target(NamedTuple):
    """A target; passed is None if nothing was measured."""

    target: str
    found: str
    passed: bool | None


# Median seconds of (operator, side, peer, direction); on a GPU through graphs, out of the cache.
Medians = dict[tuple[str, int, str, str], float]


def found(report: Report) -> list[Target]:
    """Returns all targets, as far as they were measured."""
    result = []
    if ceilings := report.result("ceilings"):
        cases, medians = measured(report.section("timings"))
        device = str(report.result("environment").get("device", ""))
        result += timing_targets(cases, medians, Ceilings(**ceilings), device)
    return result + flow_targets(report.section("flow")) + check_targets(report)


def measured(outcomes: list[Outcome]) -> tuple[dict[tuple[str, int], Case], Medians]:
    """Returns the case of each (operator, side), the first that was timed, and its medians.

    The direction "forward, launched" is that of calls launched one by one on the same inputs.
    """
    cases: dict[tuple[str, int], Case] = {}
    medians: Medians = {}
    for outcome in outcomes:
        case, name = outcome.job.arguments["case"], outcome.job.arguments["name"]
        times = (outcome.result or {}).get("times", {})
        if case.biased or case in regime_cases(case.device):
            continue
        if times and cases.setdefault((case.operator, case.H), case) == case:
            for direction, modes in times.items():
                medians[case.operator, case.H, name, direction] = chosen(modes)["median"]
                if isinstance(modes.get("hot"), dict):
                    launched = f"{direction}, launched"
                    medians[case.operator, case.H, name, launched] = modes["hot"]["median"]
    return cases, medians


def chosen(modes: dict) -> dict:
    """Returns the time that counts; a mode without a time is a sentence."""
    return next(modes[mode] for mode in MODES if isinstance(modes.get(mode), dict))


def timing_targets(
    cases: dict[tuple[str, int], Case], medians: Medians, ceilings: Ceilings, device: str
) -> list[Target]:
    block, result = "pixel_attention_block", []
    if case := cases.get((block, 7)):
        for direction, limit in H100_SECONDS.items():
            if "H100" not in device:
                limit = FACTOR * ceilings.seconds(floors.kernels(case, direction))
            name = f"{block} 7x7, B = {case.B}, {direction}"
            result.append(_at_most(name, medians.get((block, 7, OURS, direction)), limit))
    for direction, factor in (("forward", 2.5), *dict.fromkeys(LAUNCHED, 1.0).items()):
        eager = [medians[key] for peer in EAGER if (key := (block, 7, peer, direction)) in medians]
        ours, name = medians.get((block, 7, OURS, direction)), f"{block} 7x7 {direction} against"
        result.append(_speedup(f"{name} the faster eager", ours, min(eager, default=None), factor))
    ours, compiled = (medians.get((block, 7, p, "forward")) for p in (OURS, "torch.compile"))
    result.append(_speedup(f"{block} 7x7 forward against torch.compile", ours, compiled, 1.5))
    for operator in ("pixel_attention", block):
        if case := cases.get((operator, 28)):
            for direction in H100_SECONDS:
                seconds = medians.get((operator, 28, OURS, direction))
                result.append(_share(case, direction, seconds, ceilings))
        for direction in ("forward", "both"):
            ours, other = (medians.get((operator, 56, p, direction)) for p in (OURS, EFFICIENT))
            name = f"{operator} 56x56 {direction} against SDPA memory-efficient"
            result.append(_speedup(name, ours, other, 2.0))
    return result + [ratio for row in RATIOS if row[:2] in cases for ratio in _ratio(medians, *row)]


def _ratio(
    medians: Medians, operator: str, side: int, direction: str, peers: Sequence[str], factor: float
) -> Iterator[Target]:
    """Yields the target of a row of RATIOS, as far as the faster of its peers was measured."""
    found = [key for peer in peers if (key := (operator, side, peer, direction)) in medians]
    if found:
        fastest = min(found, key=medians.__getitem__)
        ours = medians.get((operator, side, OURS, direction))
        name = f"{operator} {side}x{side} {direction} against {fastest[2]}"
        yield _speedup(name, ours, medians[fastest], factor)


def flow_targets(outcomes: list[Outcome]) -> list[Target]:
    """Returns the target of the flow: a pair in a clip of 65 frames, launched one by one."""
    times = {o.job.name: (o.result or {}).get("times") for o in outcomes}.get(FLOW_CLIP)
    if not times:
        return []
    return [_at_most(f"{FLOW_CLIP}, a pair", times["launched"]["median"], FLOW_SECONDS)]


def check_targets(report: Report) -> list[Target]:
    outcomes = [test["outcome"] for test in report.tests if "equal_to_the_bit" in test["name"]]
    repeats = [value == "passed" for value in outcomes if value in ("passed", "failed")]
    found = [(outcome.result or {}).get("passed") for outcome in report.section("sanitizer")]
    tools = [value for value in found if value is not None]
    rows = {"gradients bit-equal over repeats": repeats, "compute-sanitizer clean": tools}
    return [
        Target(name, f"{sum(checks)} of {len(checks)} passed", all(checks) if checks else None)
        for name, checks in rows.items()
    ]


def _at_most(name: str, seconds: float | None, limit: float) -> Target:
    found = seconds and f"{seconds * 1e6:.1f} us"
    return _target(f"{name} <= {limit * 1e6:.0f} us", found, seconds and seconds <= limit)


def _speedup(name: str, ours: float | None, other: float | None, factor: float) -> Target:
    speedup = ours and other and other / ours
    found = speedup and f"{speedup:.2f}x"
    return _target(f"{name} >= {factor:.1f}x", found, speedup and speedup >= factor)


def _share(case: Case, direction: str, seconds: float | None, ceilings: Ceilings) -> Target:
    """Returns the target for 28x28 maps, which the matrix units limit."""
    operations = sum(work.operations for work in floors.ideal(case, direction))
    share = seconds and operations / ceilings.rate / seconds
    name = f"{case.operator} 28x28 {direction} >= {MATRIX_SHARE:.0%} of the matrix units' floor"
    return _target(name, share and f"{share:.0%}", share and share >= MATRIX_SHARE)


def _target(name: str, found: Any, passed: Any) -> Target:
    return Target(name, found or "not measured", None if found is None else bool(passed))
