"""report.json and table.md, written anew whenever something is known."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path

from benchmarks.floors import Ceilings
from benchmarks.gpu_report import table, targets
from benchmarks.gpu_report.jobs import Job, Outcome


class Report:
    """The outcomes of all jobs so far.

    Args:
        output: Folder of report.json and table.md.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.outcomes: list[Outcome] = []
        output.mkdir(parents=True, exist_ok=True)

    def add(self, outcome: Outcome) -> None:
        """Keeps an outcome and writes both files."""
        self.outcomes.append(outcome)
        self.save()

    def section(self, name: str) -> list[Outcome]:
        """What has become of a section's jobs."""
        return [outcome for outcome in self.outcomes if outcome.job.section == name]

    def result(self, section: str) -> dict:
        """The result of a section of one job; empty if there is none."""
        return next((o.result for o in self.section(section) if o.result is not None), {})

    def is_green(self, operator: str, dtype: str) -> bool:
        """Whether parity was seen for an operator in a type, and nothing but parity."""
        outcomes = [
            outcome
            for outcome in self.section("parity")
            if outcome.job.name.startswith(f"{operator} {dtype} ")
        ]
        done = [outcome for outcome in outcomes if outcome.status == "done"]
        has_failed = any(outcome.status == "failed" for outcome in outcomes)
        return bool(done) and not has_failed and all(o.result["passed"] for o in done)

    def without_time(self, jobs: list[Job]) -> list[Job]:
        """Records the timing jobs of what is not right or does not compile; returns the others."""
        failed = {o.job.name for o in self.section("compilation") if o.status == "failed"}
        allowed = []
        for job in jobs:
            case = job.arguments["case"]
            if not self.is_green(case.operator, case.dtype):
                reason = f"no time: {case.operator} has no parity in {case.dtype}"
            elif job.name in failed:
                reason = "no time: it did not compile"
            else:
                allowed.append(job)
                continue
            self.outcomes.append(Outcome(job, "skipped", reason=reason))
        self.save()
        return allowed

    def targets(self) -> list[targets.Target]:
        """What should be reached, as far as it was measured."""
        found = []
        ceilings = self.result("ceilings")
        if ceilings:
            times = table.times_of(self.section("timings"))
            device = self.result("environment").get("device", "")
            found = targets.timing_targets(times, Ceilings(**ceilings), device)
        checks = {
            outcome.job.name: outcome.result["passed"] if outcome.result else None
            for outcome in self.section("checks") + self.section("sanitizer")
        }
        flow = {
            outcome.job.name: outcome.result["times"]["launched"]["median"]
            for outcome in self.section("flow")
            if outcome.result and "times" in outcome.result
        }
        return found + targets.flow_targets(flow) + targets.check_targets(checks)

    def save(self) -> None:
        """Writes both files, each at once."""
        content = {
            "environment": self.result("environment"),
            "ceilings": self.result("ceilings"),
            "targets": [dataclasses.asdict(target) for target in self.targets()],
            **{
                section: [_record(outcome) for outcome in self.section(section)]
                for section in ("parity", "checks", "flow", "timings", "sanitizer")
            },
            "not done": [
                {"name": f"{o.job.section}: {o.job.name}", "status": o.status, "reason": o.reason}
                for o in self.outcomes
                if o.status != "done"
            ],
        }
        _write(self.output / "report.json", json.dumps(_finite(content), indent=1))
        _write(self.output / "table.md", table.render(self))


def _record(outcome: Outcome) -> dict:
    record = {"name": outcome.job.name, "status": outcome.status}
    record |= {"seconds": round(outcome.seconds, 2)}
    case = outcome.job.arguments.get("case")
    if case is not None:
        record["case"] = dataclasses.asdict(case)
    return record | (outcome.result or {"reason": outcome.reason})


def _finite(value):
    """JSON knows no infinity."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, path)
