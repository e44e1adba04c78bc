"""Runs a report: parity and checks side by side, then times with the GPU for themselves."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.gpu_report import plan, timings
from benchmarks.gpu_report.jobs import Job, Outcome, run_jobs
from benchmarks.gpu_report.report import Report

# Each process takes half a gigabyte of the GPU for itself; what they compile takes a CPU core.
MAX_WORKERS = 12
CORRECTNESS_SHARE = 0.45  # of the time, at most; what hangs must not take all of it
SANITIZER_SECONDS = 75.0


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
    start = time.monotonic()
    end = start + 60 * minutes
    dtype = "float32" if device == "cpu" else "bfloat16"
    report, workers = Report(output), []
    num_workers = 1 if tiny else max(1, min(MAX_WORKERS, (os.cpu_count() or 1) - 2))
    try:

        def run(jobs: list[Job], num_workers: int, deadline: float) -> None:
            limits = {"num_workers": num_workers, "deadline": deadline}
            for outcome in run_jobs(jobs, **limits, workers=workers):
                report.add(outcome)
                if not _is_fine(outcome):
                    tell(f"  {outcome.job.name}: {outcome.reason or outcome.result}")

        run([Job("environment", "", timings.describe, {"device": device})], 1, end)
        jobs = plan.correctness_jobs(device, tiny) + plan.check_jobs(device, tiny)
        tell(f"{len(jobs)} checks of parity and behaviour")
        run(jobs, num_workers, start + CORRECTNESS_SHARE * (end - start))
        arguments = {"device": device, "dtype": dtype}
        run([Job("ceilings", "", timings.ceilings, arguments)], 1, end)
        jobs = plan.timing_jobs(plan.timed_cases(device, tiny), tiny)
        tell(f"{time.monotonic() - start:.0f} s: times of {len(jobs)} peers")
        has_sanitizer = device == "cuda" and shutil.which("compute-sanitizer") is not None
        reserve = SANITIZER_SECONDS if has_sanitizer else 0.0
        run(report.without_time(jobs), 1, end - reserve)
        tell(f"{time.monotonic() - start:.0f} s: compute-sanitizer")
        run(plan.sanitizer_jobs(SANITIZER_SECONDS), 2 if has_sanitizer else 1, end)
    finally:
        for worker in workers:
            worker.close()
    tell(f"{time.monotonic() - start:.0f} s in all")
    return report


def _is_fine(outcome: Outcome) -> bool:
    result = outcome.result or {"passed": False}
    return outcome.status == "done" and result.get("passed", "refused" not in result) is not False


def num_wrong(report: Report) -> int:
    """Checks that were made and not passed, or that failed; peers of ours do not count."""
    outcomes: list[Outcome] = report.section("parity") + report.section("checks")
    outcomes += report.section("sanitizer")
    return sum(outcome.status != "skipped" and not _is_fine(outcome) for outcome in outcomes)
