"""Runs the tests of the kernels in processes that may crash or hang.

This module is also that pytest's plugin: it writes each result to a file as soon as it is known,
and ends a worker whose test hangs, or fails on a GPU. xdist then starts another one.
"""

import faulthandler
import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.jobs import ROOT, run_command

# The tests with each operator's parity. No time is reported for an operator whose test failed.
PARITY_FILES = {
    "pixel_attention": "tests/ops/test_pixel_attention_kernels.py",
    "pixel_attention_block": "tests/ops/test_pixel_attention_block_kernels.py",
    "positional_encoding": "tests/ops/test_positional_encoding.py",
}
TESTS = [
    *PARITY_FILES.values(),
    "tests/ops/test_kernels_on_gpu.py",
    "tests/ops/test_registration.py",
    "tests/ops/test_launching.py",
    "tests/ops/test_calls.py",
    "tests/ops/test_flow_on_gpu.py",
]
if importlib.util.find_spec("cv2"):
    TESTS.append("tests/ops/test_flow_accuracy.py::test_a_gpu_has_the_cpus_error")
    TESTS.append("tests/ops/test_flow_reference.py::test_runs_on_the_device_of_the_frames")
TINY = "test_scale or gamma_zero or kernel_equals or on_gpu or inference_mode"  # a rehearsal's
RESULTS, LIMIT = "SLT_FAST_TEST_RESULTS", "SLT_FAST_TEST_SECONDS"
OUTCOMES = ("passed", "failed", "skipped", "not run")


def run(
    tests: list[str],
    results: Path,
    *,
    keyword: str,
    num_processes: int,
    deadline: float,
    test_seconds: float = 150,
) -> dict:
    """Runs tests, or files of tests, until the deadline on the clock of time.monotonic.

    Each result is written to a file, as a line of JSON. The keyword is pytest's -k; test_seconds
    limits one test, its compilation included.

    Returns:
        {"tests": [{"name", "outcome", "seconds", "reason"}], "passed": ..., "detail": ...}.
    """
    results.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", __name__, "-q"]
    command += ["-p", "no:cacheprovider", "-k", keyword, "--max-worker-restart", "100"]
    command += ["--numprocesses", str(num_processes), *tests]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {RESULTS: str(results), LIMIT: str(test_seconds), "PYTHONPATH": path}
    try:
        status, output = run_command(command, deadline, environment)
    except subprocess.TimeoutExpired:
        status, output = 0, ""
    found = _read(results)
    counts = Counter(test["outcome"] for test in found)
    detail = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)
    if status not in (0, 1):  # something else than a test went wrong
        detail += f"; pytest ended with status {status}: {output[-500:]}"
    passed = status in (0, 1) and {"passed"} <= counts.keys() <= {"passed", "skipped"}
    return {"tests": found, "passed": passed, "detail": detail}


def _read(path: Path) -> list[dict]:
    """Returns one record for each test: the first failure, or else the last result."""
    found: dict[str, dict] = {}
    for record in map(json.loads, path.read_text().splitlines() if path.exists() else []):
        earlier = found.setdefault(record["name"], record)["outcome"]
        if earlier == "not run" or record["outcome"] == "failed" != earlier:
            found[record["name"]] = record
    return list(found.values())


def _write(name: str, outcome: str, seconds: float = 0.0, reason: str = "") -> None:
    """Appends a record, in the process that hears of all tests."""
    if RESULTS in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        record = {"name": name, "outcome": outcome, "seconds": seconds, "reason": reason}
        with open(os.environ[RESULTS], "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(ids: list[str]) -> None:
    """Writes what is to run; each worker collects the same tests."""
    for name in ids:
        _write(name, "not run", reason="no time was left")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Ends a worker whose test hangs, even in a call that never returns to Python."""
    faulthandler.dump_traceback_later(float(os.environ[LIMIT]), exit=True, file=2)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Writes a result; ends a worker after a failure that may have spoilt its use of the GPU."""
    if report.when == "call" or not report.passed:
        _write(report.nodeid, report.outcome, report.duration, _reason(report))
    torch = sys.modules.get("torch") if "PYTEST_XDIST_WORKER" in os.environ else None
    if report.failed and torch and torch.cuda.is_initialized():
        os._exit(3)  # a lost context, or a failed capture of a graph, fails all later tests


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Writes a file that cannot be imported."""
    if report.failed:
        _write(report.nodeid, "failed", reason=_reason(report))


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):  # a skipped test's file, line and reason
        return str(report.longrepr[-1])
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr or "")[:600]
