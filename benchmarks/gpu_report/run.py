"""Runs a report: parity and checks side by side, then times with the GPU for themselves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.gpu_report import plan, timings
from benchmarks.gpu_report.jobs import Job, Outcome, Worker, run_jobs
from benchmarks.gpu_report.report import Report

# Each process takes half a gigabyte of the GPU for itself; what they compile takes a CPU core.
MAX_WORKERS = 12
CORRECTNESS_SHARE = 0.45  # of the time, at most; what hangs must not take all of it


def write_report(
    output: Path, *, device: str, tiny: bool, minutes: float, tell: Callable[[str], None]
) -> Report:
    """Writes report.json and table.md, step by step.

    Args:
        output: Their folder.
        device: "cuda", or "cpu" with the kernels interpreted.
        tiny: Whether only a few tiny sizes are run.
        minutes: What no time is left for is skipped and listed.
        tell: Called with a line for each step.
    """
    run = _Run(Report(output), tell, 60 * minutes)
    try:
        run.jobs([Job("environment", "", timings.describe, {"device": device})], 1, run.end)
        timing_jobs = plan.timing_jobs(plan.timed_cases(device, tiny), tiny)
        _check(run, timing_jobs, device, tiny)
        _time(run, timing_jobs, device, tiny)
    finally:
        for worker in run.workers:
            worker.close()
    run.say("done")
    return run.report


class _Run:
    """A report that is being made, the processes at work on it, and its time."""

    def __init__(self, report: Report, tell: Callable[[str], None], seconds: float) -> None:
        self.report, self.tell = report, tell
        self.workers: list[Worker] = []
        self.start = time.monotonic()
        self.end = self.start + seconds

    def say(self, text: str) -> None:
        self.tell(f"{time.monotonic() - self.start:.0f} s: {text}")

    def jobs(self, jobs: list[Job], num_workers: int, deadline: float) -> None:
        limits = {"num_workers": num_workers, "deadline": deadline}
        for outcome in run_jobs(jobs, **limits, workers=self.workers):
            self.report.add(outcome)
            if not _is_fine(outcome):
                self.tell(f"  {outcome.job.name}: {outcome.reason or outcome.result}")


def _check(run: _Run, timing_jobs: list[Job], device: str, tiny: bool) -> None:
    """Memory accesses, parity, behaviour, and what fills the compilers' caches."""
    jobs = plan.correctness_jobs(device, tiny) + plan.check_jobs(device, tiny)
    jobs += plan.flow_check_jobs(device, tiny)
    run.say(f"{len(jobs)} checks of parity and behaviour")
    num_workers = 1 if tiny else max(1, min(MAX_WORKERS, (os.cpu_count() or 1) - 2))
    deadline = run.start + CORRECTNESS_SHARE * (run.end - run.start)
    # What takes longest begins first, and ends by itself: a killed worker would leave it running.
    slow = plan.sanitizer_jobs(device, deadline - 2)
    run.jobs(slow + jobs + plan.compile_jobs(timing_jobs), num_workers, deadline)


def _time(run: _Run, timing_jobs: list[Job], device: str, tiny: bool) -> None:
    """The machine's ceilings and all times, in one process: the GPU is its own."""
    arguments = {"device": device, "dtype": "float32" if device == "cpu" else "bfloat16"}
    run.jobs([Job("ceilings", "", timings.ceilings, arguments)], 1, run.end)
    run.say("times of the flow")
    run.jobs(plan.flow_timing_jobs(device, tiny), 1, run.end)
    allowed = run.report.without_time(timing_jobs)
    run.say(f"times of {len(allowed)} peers")
    run.jobs(allowed, 1, run.end)


def _is_fine(outcome: Outcome) -> bool:
    result = outcome.result or {}
    return outcome.status == "done" and result.get("passed", "refused" not in result) is not False


def num_wrong(report: Report) -> int:
    """Checks that were made and not passed, or that failed; peers of ours do not count."""
    outcomes: list[Outcome] = report.section("parity") + report.section("checks")
    outcomes += report.section("sanitizer")
    return sum(outcome.status != "skipped" and not _is_fine(outcome) for outcome in outcomes)
