"""What is known so far."""

import dataclasses
import re

from benchmarks.gpu_report.suite import PARITY_FILES
from benchmarks.jobs import Job, Outcome

SECTIONS = ("tests", "sanitizer", "flow", "training", "timings")


class Report:
    """The outcomes of all jobs so far."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def section(self, name: str) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.job.section == name]

    def result(self, section: str) -> dict:
        """Returns the result of a section with one job; empty if there is none."""
        return next((o.result for o in self.section(section) if o.result is not None), {})

    @property
    def tests(self) -> list[dict]:
        """The results of single tests; see suite.run."""
        return self.result("tests").get("tests", [])

    def is_green(self, operator: str, dtype: str) -> bool:
        """Returns True if all of an operator's tests in a type ran, and none failed."""
        outcomes = {
            test["outcome"]
            for test in self.tests
            # Whole words, because "bfloat16" contains "float16".
            if PARITY_FILES[operator] in test["name"] and dtype in re.findall(r"\w+", test["name"])
        }
        return {"passed"} <= outcomes <= {"passed", "skipped"}

    def without_time(self, jobs: list[Job]) -> list[Job]:
        """Returns the timing jobs of what is right and compiles; records why others are skipped."""
        failed = {o.job.name for o in self.section("compilation") if o.status == "failed"}
        allowed = []
        for job in jobs:
            operator, dtype = job.arguments["case"].operator, job.arguments["case"].dtype
            why = "it did not compile" if job.name in failed else None
            if why is None and not self.is_green(operator, dtype):
                why = f"the tests of {operator} in {dtype} did not pass"
            if why is None:
                allowed.append(job)
            else:
                self.outcomes.append(Outcome(job, "skipped", reason=f"no time: {why}"))
        return allowed

    def not_done(self) -> list[dict]:
        """Returns name, status and reason of what failed or gave no result."""
        rows = [(f"{o.job.section}: {o.job.name}", o.status, o.reason) for o in self.outcomes]
        rows += [(test["name"], test["outcome"], test["reason"]) for test in self.tests]
        wrong = [row for row in rows if row[1] not in ("done", "passed")]
        return [{"name": name, "status": status, "reason": why} for name, status, why in wrong]

    def num_wrong(self) -> int:
        """Returns the number of tests and checks that failed; the timed peers do not count."""
        sections = ("tests", "sanitizer", "flow", "training")
        checks = [outcome for name in sections for outcome in self.section(name)]
        failed = sum(test["outcome"] == "failed" for test in self.tests)
        return failed + sum(is_wrong(outcome) for outcome in checks)

    def content(self) -> dict:
        once = {name: self.result(name) for name in ("environment", "ceilings")}
        sections = {name: [_record(outcome) for outcome in self.section(name)] for name in SECTIONS}
        return {**once, **sections, "not done": self.not_done()}


def is_wrong(outcome: Outcome) -> bool:
    """Returns True for a job that failed or whose check did not pass."""
    return outcome.status == "failed" or (outcome.result or {}).get("passed") is False


def _record(outcome: Outcome) -> dict:
    case = outcome.job.arguments.get("case")
    record = {"name": outcome.job.name, "status": outcome.status, "seconds": outcome.seconds}
    record |= {"case": dataclasses.asdict(case)} if case else {}
    return record | (outcome.result or {"reason": outcome.reason})
