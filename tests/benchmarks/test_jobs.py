import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.jobs import Job, Workers, run_command


def test_a_job_fails_dies_or_hangs_alone() -> None:
    jobs = [
        Job("", "fails", json.loads, {"s": "no JSON"}, 0),
        Job("", "dies", os._exit, {"status": 3}, 0),
        Job("", "hangs", functools.partial(time.sleep, 600), {}, 0, limit=1),
        Job("", "works", json.loads, {"s": "{}"}, 0),
    ]
    last = [
        Job("", "is slow", functools.partial(time.sleep, 600), {}, 0),
        Job("", "is too long", json.loads, {"s": "{}"}, 1000),
    ]
    outcomes = {}
    with Workers() as workers:
        for some, seconds in ((jobs, 120), (last, 2)):
            for outcome in workers.run(some, 1, time.monotonic() + seconds):
                outcomes[outcome.job.name] = outcome
    statuses = {name: outcome.status for name, outcome in outcomes.items()}
    expected = {"fails": "failed", "dies": "failed", "hangs": "failed", "works": "done"}
    assert statuses == expected | {"is slow": "skipped", "is too long": "skipped"}
    assert "JSONDecodeError" in outcomes["fails"].reason
    assert outcomes["dies"].reason == "its process ended with status 3"
    assert outcomes["hangs"].reason == "it ran for more than 1 s"
    assert outcomes["is slow"].reason == "it ran until no time was left"
    assert outcomes["is too long"].reason.startswith("takes about 1000 s, ")


def test_a_command_gives_its_status_and_output() -> None:
    command = [sys.executable, "-c", "print('found'); raise SystemExit(4)"]
    assert run_command(command, time.monotonic() + 60) == (4, "found\n")


def test_a_command_ends_with_all_under_it(tmp_path: Path) -> None:
    """It starts a program, whose number it leaves in a file, and hangs."""
    number = tmp_path / "number"
    script = f"sleep 600 &\necho $! > {number}\nwait"
    with pytest.raises(subprocess.TimeoutExpired):
        run_command(["sh", "-c", script], time.monotonic() + 1)
    state = Path("/proc", number.read_text().strip(), "stat")
    end = time.monotonic() + 10  # a killed process closes its output before it is gone
    while _runs(state) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _runs(state)


def _runs(state: Path) -> bool:
    """Tells by its file in /proc whether a process runs; a zombie does not."""
    try:
        return state.read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
