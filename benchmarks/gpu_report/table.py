"""A report as Markdown, for docs/benchmarks.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import floors
from benchmarks.cases import Case
from benchmarks.floors import Ceilings
from benchmarks.gpu_report.jobs import Outcome
from benchmarks.gpu_report.targets import Times

if TYPE_CHECKING:
    from benchmarks.gpu_report.report import Report

# The GPU's own time with nothing in the cache comes first; on a CPU there is only the last.
MODES = ("cold graph", "cold", "hot")
VERDICTS = {True: "PASS", False: "FAIL", None: "not measured"}


def times_of(outcomes: list[Outcome]) -> Times:
    """The median times of all peers that were timed."""
    cases, medians = {}, {}
    for outcome in outcomes:
        if not outcome.result or "times" not in outcome.result:
            continue
        case, name = outcome.job.arguments["case"], outcome.job.arguments["name"]
        cases.setdefault((case.operator, case.H), case)
        for direction, times in outcome.result["times"].items():
            timing = chosen(times)
            medians[case, name, direction] = timing["median"]
    return Times(cases, medians)


def chosen(times: dict) -> dict:
    """The time that counts; a mode without a time is a sentence."""
    return next(times[mode] for mode in MODES if isinstance(times.get(mode), dict))


def render(report: Report) -> str:
    """The whole table."""
    environment, ceilings = report.result("environment"), report.result("ceilings")
    lines = ["# Report", "", ", ".join(f"{key} {value}" for key, value in environment.items())]
    if ceilings:
        bandwidth, rate = ceilings["bandwidth"] / 1e12, ceilings["rate"] / 1e12
        lines += ["", f"Measured: copy {bandwidth:.3g} TB/s, product {rate:.3g} TFLOP/s."]
    lines += _targets(report) + _parity(report) + _checks(report) + _flow(report)
    if ceilings:
        lines += _timings(report.section("timings"), Ceilings(**ceilings))
    return "\n".join(lines + _not_done(report))


def _targets(report: Report) -> list[str]:
    rows = [(t.target, t.found, VERDICTS[t.passed]) for t in report.targets()]
    return _table("Targets", ("target", "found", ""), rows)


def _parity(report: Report) -> list[str]:
    """One row for each operator and type."""
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in report.section("parity"):
        groups.setdefault(tuple(outcome.job.name.split()[:2]), []).append(outcome)
    rows = []
    for (operator, dtype), outcomes in groups.items():
        done = [outcome.result for outcome in outcomes if outcome.result]
        passed = sum(result["passed"] for result in done)
        worst = max((result["worst"] for result in done), default=float("nan"))
        rows.append((operator, dtype, f"{passed} of {len(outcomes)}", f"{worst:.2f}"))
    title = "Parity: error against float64, bound: twice plain PyTorch's (at least one eps)"
    return _table(title, ("operator", "type", "passed", "worst error / bound"), rows)


def _checks(report: Report) -> list[str]:
    rows = [
        (outcome.job.name, VERDICTS[outcome.result["passed"]], outcome.result["detail"])
        for outcome in report.section("checks") + report.section("sanitizer")
        if outcome.result
    ]
    return _table("Checks", ("check", "", "detail"), rows)


def _flow(report: Report) -> list[str]:
    """A row for each size and preset: a pair of a clip, in us."""
    rows = []
    for outcome in report.section("flow"):
        result = outcome.result
        if result is None:
            continue
        if "refused" in result:
            rows.append((outcome.job.name, f"refused: {result['refused']}", "", ""))
            continue
        cells = [
            time if isinstance(time, str) else f"{time['median'] * 1e6:.1f}"
            for time in (result["times"].get(mode, "") for mode in ("launched", "graph"))
        ]
        frames = outcome.job.arguments["T"]
        rows.append(
            (f"{outcome.job.name}, {frames} frames", *cells, round(result["peak bytes"] / 2**20))
        )
    header = ("clip", "launched, us a pair", "graph, us a pair", "memory, MiB")
    return _table("Optical flow", header, rows)


def _timings(outcomes: list[Outcome], ceilings: Ceilings) -> list[str]:
    """A table for each case: peers down, directions across."""
    cases: dict[Case, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.result:
            cases.setdefault(outcome.job.arguments["case"], []).append(outcome)
    lines = []
    for case, rows in cases.items():
        directions = next((list(o.result["times"]) for o in rows if "times" in o.result), [])
        title = f"{case.operator}, {case.shape}, {case.dtype}"
        header = (
            "peer",
            *(f"{direction}, us" for direction in directions),
            "launched, hot",
            "error",
        )
        cells = [_peer_row(case, outcome, directions, ceilings) for outcome in rows]
        lines += _table(title, header, cells)
    if lines:
        lines += [
            "",
            "Median (20th to 80th percentile), share of the ideal floor. On a GPU through CUDA "
            "graphs with inputs that are not in the L2 cache. Launched, hot: calls launched one by "
            "one on the same inputs, in us, in the same order. Error: the worst in units of what "
            "ours may have; others may have 4.",
        ]
    return lines


def _peer_row(
    case: Case, outcome: Outcome, directions: list[str], ceilings: Ceilings
) -> tuple[str, ...]:
    name, result = outcome.job.arguments["name"], outcome.result
    if "refused" in result:
        return name, f"refused: {result['refused']}", *[""] * (len(directions) + 1)
    cells = []
    for direction in directions:
        timing = chosen(result["times"][direction])
        median, p20, p80 = (timing[key] * 1e6 for key in ("median", "p20", "p80"))
        share = ceilings.seconds(floors.ideal(case, direction)) * 1e6 / median
        cells.append(f"{median:.1f} ({p20:.1f} to {p80:.1f}), {share:.0%}")
    launched = [
        times.get("hot", times.get("cold"))["median"] * 1e6 for times in result["times"].values()
    ]
    launched = " / ".join(f"{value:.1f}" for value in launched)
    return name, *cells, launched, f"{result['worst']:.2f}"


def _not_done(report: Report) -> list[str]:
    rows = [
        (f"{o.job.section}: {o.job.name}", o.status, (o.reason or "").replace("\n", " ")[:200])
        for o in report.outcomes
        if o.status != "done"
    ]
    return _table("Not done", ("what", "", "why"), rows)


def _table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """A Markdown table under a heading; nothing for no rows."""
    if not rows:
        return []
    lines = [header, ["---"] * len(header), *rows]
    cells = [[str(cell).replace("|", "/") for cell in line] for line in lines]
    return ["", f"## {title}", "", *(f"| {' | '.join(line)} |" for line in cells)]
