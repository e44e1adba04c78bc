"""Writes a report as Markdown, for docs/benchmarks.md."""

from benchmarks import floors
from benchmarks.cases import Case
from benchmarks.floors import Ceilings
from benchmarks.gpu_report import targets
from benchmarks.gpu_report.report import Report
from benchmarks.gpu_report.suite import OUTCOMES
from benchmarks.jobs import Outcome

VERDICTS = {True: "PASS", False: "FAIL", None: "not measured"}
NOTE = (
    "Median (20th to 80th percentile), share of the ideal floor. On a GPU through CUDA graphs with "
    "inputs that are not in the L2 cache. Launched, hot: calls launched one by one on the same "
    "inputs, in us, in the same order. Error: the worst in units of its bound for ours; the bound "
    "of others is 4; in float32 the relative errors follow."
)


def render(report: Report) -> str:
    environment, ceilings = report.result("environment"), report.result("ceilings")
    lines = ["# Report", "", ", ".join(f"{key} {value}" for key, value in environment.items())]
    if ceilings:
        bandwidth, rate = ceilings["bandwidth"] / 1e12, ceilings["rate"] / 1e12
        lines += ["", f"Measured: copy {bandwidth:.3g} TB/s, product {rate:.3g} TFLOP/s."]
    rows = [(t.target, t.found, VERDICTS[t.passed]) for t in targets.found(report)]
    lines += _table("Targets", ("target", "found", ""), rows)
    lines += _tests(report)
    results = [(o.job.name, o.result) for o in report.section("sanitizer") if o.result]
    rows = [(name, VERDICTS[found["passed"]], found["detail"]) for name, found in results]
    lines += _table("Sanitizers", ("tool", "", "detail"), rows) + _flow(report)
    lines += _training(report)
    if ceilings:
        lines += _timings(report.section("timings"), Ceilings(**ceilings))
    return "\n".join(lines + _not_done(report))


def _tests(report: Report) -> list[str]:
    files: dict[str, list[str]] = {}
    for test in report.tests:
        files.setdefault(test["name"].partition("::")[0], []).append(test["outcome"])
    rows = [(name, *map(found.count, OUTCOMES)) for name, found in files.items()]
    return _table("Tests", ("file", *OUTCOMES), rows)


def _flow(report: Report) -> list[str]:
    rows = []
    for outcome in report.section("flow"):
        result = outcome.result or {"refused": outcome.reason}
        if "refused" in result:
            rows.append((outcome.job.name, f"refused: {result['refused']}", "", "", ""))
            continue
        times = [result["times"].get(mode, "") for mode in ("launched", "graph")]
        cells = [time if isinstance(time, str) else f"{time['median'] * 1e6:.1f}" for time in times]
        name = f"{outcome.job.name}, {outcome.job.arguments['T']} frames"
        rows.append((name, *cells, round(result["peak bytes"] / 2**20), result["detail"]))
    header = ("clip", "launched, us a pair", "graph, us a pair", "memory, MiB", "parity")
    return _table("Optical flow", header, rows)


def _training(report: Report) -> list[str]:
    """Returns a table for each benchmark of the training, whose rows share their columns."""
    tables: dict[str, list[dict[str, str]]] = {}
    for row in report.result("training").get("rows", []):
        tables.setdefault(row["table"], []).append(row)
    lines = []
    for name, rows in tables.items():
        columns = tuple(column for column in rows[0] if column != "table")
        cells = [tuple(row[column] for column in columns) for row in rows]
        lines += _table(f"{name}, ours / plain PyTorch", columns, cells)
    return lines


def _timings(outcomes: list[Outcome], ceilings: Ceilings) -> list[str]:
    """Returns a table for each case: a row for each peer, a column for each direction."""
    cases: dict[Case, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.result:
            cases.setdefault(outcome.job.arguments["case"], []).append(outcome)
    lines = []
    for case, rows in cases.items():
        times = (f"{direction}, us" for direction in rows[0].job.arguments["directions"])
        shape = f"{case.B}x{case.C}x{case.H}x{case.W}, keys {case.key_channels}/{case.num_heads}"
        title = f"{case.operator}, {shape}, {case.dtype}{', biased' if case.biased else ''}"
        header = ("peer", *times, "launched, hot", "error")
        lines += _table(title, header, [_peer_row(case, outcome, ceilings) for outcome in rows])
    return [*lines, "", NOTE] if lines else []


def _peer_row(case: Case, outcome: Outcome, ceilings: Ceilings) -> tuple[str, ...]:
    name, result = outcome.job.arguments["name"], outcome.result or {}
    if "refused" in result:
        blank = [""] * (len(outcome.job.arguments["directions"]) + 1)
        return name, f"refused: {result['refused']}", *blank
    cells, launched = [], []
    for direction, modes in result["times"].items():
        timing = targets.chosen(modes)
        median, p20, p80 = (timing[key] * 1e6 for key in ("median", "p20", "p80"))
        share = ceilings.seconds(floors.ideal(case, direction)) * 1e6 / median
        cells.append(f"{median:.1f} ({p20:.1f} to {p80:.1f}), {share:.0%}")
        launched.append(f"{modes.get('hot', modes.get('cold'))['median'] * 1e6:.1f}")
    error = f"{result['worst']:.2f}"
    if case.dtype == "float32":
        error += "".join(f", {part} {value:.1e}" for part, value in result["errors"].items())
    return name, *cells, " / ".join(launched), error


def _not_done(report: Report) -> list[str]:
    names: dict[tuple[str, str], list[str]] = {}
    for row in report.not_done():
        why = str(row["reason"]).replace("\n", " ")[:200]
        names.setdefault((row["status"], why), []).append(row["name"])
    rows = [
        (found[0] + (f" and {len(found) - 1} more" if len(found) > 1 else ""), status, why)
        for (status, why), found in names.items()
    ]
    return _table("Wrong or not done", ("what", "", "why"), rows)


def _table(title: str, header: tuple[str, ...], rows: list[tuple]) -> list[str]:
    """Returns a Markdown table under a heading; nothing for no rows."""
    if not rows:
        return []
    lines = [header, ["---"] * len(header), *rows]
    cells = [[str(cell).replace("|", "/") for cell in line] for line in lines]
    return ["", f"## {title}", "", *(f"| {' | '.join(line)} |" for line in cells)]
