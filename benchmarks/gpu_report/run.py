"""Runs the plan: first what must be right, then times with the GPU to themselves."""

import json
import os
import time
from pathlib import Path

from benchmarks import floors, machine
from benchmarks.gpu_report import plan, table, targets
from benchmarks.gpu_report.report import Report, is_wrong
from benchmarks.jobs import Job, Workers
from slt_fast.files import replacing

# Each process takes half a gigabyte of the GPU for itself; what they compile takes a CPU core.
MAX_PROCESSES = 12
CHECKS_SHARE = 0.55  # of the time, at most: a part that hangs must leave time for the others


class Run:
    """A report in the making: report.json and table.md in a folder, updated after each job.

    On "cpu" kernels are interpreted. What does not fit into the minutes is skipped and listed.
    """

    def __init__(self, output: Path, *, device: str, tiny: bool, minutes: float) -> None:
        self.output, self.device, self.tiny = output, device, tiny
        self.report, self.workers = Report(), Workers()
        self.start = time.monotonic()
        self.end = self.start + 60 * minutes

    def write(self) -> Report:
        """Runs everything; prints a line for each step."""
        self.output.mkdir(parents=True, exist_ok=True)
        with self.workers:
            job = Job("environment", "", machine.describe, {"device": self.device})
            self._jobs([job], 1, self.end)
            timing_jobs = plan.timing_jobs(plan.timed_cases(self.device, self.tiny), self.tiny)
            self._check(timing_jobs)
            self._time(timing_jobs)
        return self.report

    def _check(self, timing_jobs: list[Job]) -> None:
        """Runs the tests and the sanitizers, and fills the compilers' caches."""
        half = 1 if self.tiny else max(1, min(MAX_PROCESSES, (os.cpu_count() or 1) - 2) // 2)
        deadline = self.start + CHECKS_SHARE * (self.end - self.start)
        # What starts programs ends 2 s earlier: a killed worker would leave them running.
        jobs = [plan.test_job(self.output, self.tiny, half, deadline - 2)]
        jobs += plan.sanitizer_jobs(self.device, deadline - 2) + plan.compile_jobs(timing_jobs)
        _say("tests of the kernels, sanitizers, compilers")
        self._jobs(jobs, half + 1, deadline)

    def _time(self, timing_jobs: list[Job]) -> None:
        """Measures all times, in one process that has the GPU to itself."""
        _say("times of the flow")
        dtype = "float32" if self.device == "cpu" else "bfloat16"
        job = Job("ceilings", "", floors.measured, {"device": self.device, "dtype": dtype})
        self._jobs([job, *plan.flow_jobs(self.device, self.tiny)], 1, self.end)
        allowed = self.report.without_time(timing_jobs)
        _say(f"times of {len(allowed)} peers")
        self._jobs(allowed, 1, self.end)
        _say("training")
        self._jobs([plan.training_job(self.tiny, self.end - 2)], 1, self.end)
        self._save()

    def _jobs(self, jobs: list[Job], num: int, deadline: float) -> None:
        for outcome in self.workers.run(jobs, num, deadline):
            self.report.outcomes.append(outcome)
            self._save()
            if is_wrong(outcome) or outcome.reason:
                detail = outcome.reason or (outcome.result or {}).get("detail")
                _say(f"{outcome.job.section} {outcome.job.name}: {detail}")

    def _save(self) -> None:
        """Writes both files, each in one step."""
        content = self.report.content()
        content["targets"] = [target._asdict() for target in targets.found(self.report)]
        texts = {"report.json": json.dumps(content, indent=1, default=str)}
        texts["table.md"] = table.render(self.report)
        for name, text in texts.items():
            with replacing(self.output / name) as path:
                path.write_text(text + "\n", encoding="utf-8")


def _say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)
