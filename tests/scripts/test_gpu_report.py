import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import floors, parity
from benchmarks.cases import Case, make_inputs
from benchmarks.floors import Ceilings
from benchmarks.gpu_report import correctness, plan, sanitizer, targets, timings
from benchmarks.gpu_report.correctness import AttentionShape
from benchmarks.gpu_report.jobs import Job, Outcome, run_jobs
from benchmarks.gpu_report.report import Report
from benchmarks.peers import OURS, plain

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gpu_report.py"
# A GPU machine may have torch, triton, numpy, pytest and OpenCV and nothing else.
MISSING = ("pytest_benchmark", "rich", "sacrebleu", "safetensors", "torchvision", "tqdm", "tyro")
# Kernels are interpreted where there is no GPU; see tests/conftest.py.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TINY = {"B": 3, "H": 3, "W": 5, "C": 32, "key_channels": 16}


@pytest.fixture
def bare_environment(tmp_path: Path) -> dict[str, str]:
    """Where packages that a GPU machine lacks cannot be imported."""
    folder = tmp_path / "missing"
    folder.mkdir()
    for name in MISSING:
        (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})\n")
    return {**os.environ, "PYTHONPATH": str(folder), "TRITON_INTERPRET": "1"}


def test_rehearsal_on_a_cpu(tmp_path: Path, bare_environment: dict[str, str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("a rehearsal is for machines without a GPU; torch.cuda finds one")
    output = tmp_path / "report"
    command = [sys.executable, SCRIPT, "--output", output, "--device", "cpu", "--tiny"]
    finished = subprocess.run(
        command, cwd=tmp_path, env=bare_environment, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    report = json.loads((output / "report.json").read_text())
    assert report["environment"]["torch"] == torch.__version__
    assert report["ceilings"]["bandwidth"] > 0
    assert len(report["parity"]) == len(plan.correctness_jobs("cpu", tiny=True))
    checks = plan.check_jobs("cpu", tiny=True) + plan.flow_check_jobs("cpu", tiny=True)
    assert len(report["checks"]) == len(checks)
    for row in report["parity"] + report["checks"]:
        assert row["status"] == "done" and row["passed"], row
    for row in report["timings"]:
        assert {"forward", "both"} <= row["times"].keys(), row
        for times in row["times"].values():
            assert 0 < times["hot"]["p20"] <= times["hot"]["median"] <= times["hot"]["p80"]
    assert len(report["flow"]) == len(plan.FLOW_PRESETS)
    assert all(row["times"]["launched"]["median"] > 0 for row in report["flow"])
    assert {row["case"]["operator"] for row in report["timings"]} == set(plan.OPERATORS)
    assert {row["passed"] for row in report["sanitizer"]} == {None}
    assert report["not done"] == []
    table = (output / "table.md").read_text()
    assert table.strip() in finished.stdout
    assert "| pixel_attention_block | float16 | 1 of 1 |" in table
    assert f"| {OURS} |" in table and "| opcheck pixel_attention | PASS |" in table


def test_without_a_gpu_it_says_what_is_needed(run_script, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU; torch.cuda finds one")
    finished = run_script("gpu_report.py", "--output", tmp_path)
    assert "found no CUDA GPU" in str(finished.status)


@pytest.fixture
def fake_sanitizer(tmp_path: Path, monkeypatch) -> Callable[[str], None]:
    """Puts a shell script in the place of compute-sanitizer."""

    def put(script: str) -> None:
        program = tmp_path / "compute-sanitizer"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return put


def test_a_report_of_the_cpu_runs_no_sanitizer(fake_sanitizer) -> None:
    fake_sanitizer("exit 1")
    for device, passed in (("cpu", None), ("cuda", False)):
        results = [
            job.function(**job.arguments)
            for job in plan.sanitizer_jobs(device, time.monotonic() + 60)
        ]
        assert [result["passed"] for result in results] == [passed] * 3


def slightly_larger(case: Case, *tensors: torch.Tensor) -> torch.Tensor:
    return plain(case)(*tensors) * 1.001


def wrong_in_one_map(case: Case, *tensors: torch.Tensor) -> torch.Tensor:
    y = plain(case)(*tensors)
    return torch.cat([y[:-1], y[-1:] * 1.001])


def unwritten(case: Case, *tensors: torch.Tensor) -> torch.Tensor:
    y = plain(case)(*tensors)
    return torch.cat([torch.empty_like(y[:1]), y[1:]])


def wrong_gradient(case: Case, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    y = plain(case)(first, *others)
    return y + (first - first.detach()).sum() * 1e-3


def mixed_maps(case: Case, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """What map 1, which is not compared itself, must not hand to its neighbours."""
    y = plain(case)(first, *others)
    return y + (first[1] - first[1].detach()).sum() * 1e-3


@pytest.mark.parametrize(
    "wrong", [slightly_larger, wrong_in_one_map, unwritten, wrong_gradient, mixed_maps]
)
@pytest.mark.parametrize("operator", plan.OPERATORS)
def test_a_wrong_result_gets_no_time(operator: str, wrong) -> None:
    case = Case(operator, **TINY)
    sets = [make_inputs(case, "channels_last")]
    function = functools.partial(wrong, case)
    result = timings.time_checked(case, function, sets, ["forward"], 0.001)
    assert result.keys() == {"refused"} and "gets no time" in result["refused"]
    right = timings.time_checked(case, plain(case), sets, ["forward"], 0.001)
    assert right["times"]["forward"]["hot"]["median"] > 0


def test_a_wrong_operator_gets_no_time(tmp_path: Path) -> None:
    report = Report(tmp_path)
    shape = AttentionShape((2, 1, 9, 9, 16, 32))

    def wrong(q, k, v) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=0.26)

    for operator, function in (("pixel_attention", wrong), ("pixel_attention_block", None)):
        result = correctness.check_attention(shape, "float32", DEVICE, function)
        assert result["passed"] == (function is None)
        job = Job("parity", f"{operator} float32 sizes", correctness.check_attention)
        report.add(Outcome(job, "done", result))
    jobs = plan.timing_jobs(plan.timed_cases("cpu", tiny=True), tiny=True)
    allowed = {job.arguments["case"].operator for job in report.without_time(jobs)}
    assert allowed == {"pixel_attention_block"}  # of the encoding nothing is known
    assert (
        "no time: pixel_attention has no parity in float32" in (tmp_path / "table.md").read_text()
    )


def test_a_job_fails_dies_or_hangs_alone() -> None:
    jobs = [
        Job("", "fails", json.loads, {"s": "no JSON"}, 0),
        Job("", "dies", os._exit, {"status": 3}, 0),
        Job("", "works", json.loads, {"s": "{}"}, 0),
        Job("", "hangs", functools.partial(time.sleep, 600), {}, 0),
        Job("", "is too long", json.loads, {"s": "{}"}, 1000),
    ]
    workers = []
    outcomes = {}
    for outcome in run_jobs(
        jobs[:3], num_workers=1, deadline=time.monotonic() + 60, workers=workers
    ):
        outcomes[outcome.job.name] = outcome
    for outcome in run_jobs(
        jobs[3:], num_workers=1, deadline=time.monotonic() + 2, workers=workers
    ):
        outcomes[outcome.job.name] = outcome
    for worker in workers:
        worker.close()
    statuses = {name: outcome.status for name, outcome in outcomes.items()}
    expected = {"fails": "failed", "dies": "failed", "works": "done"}
    assert statuses == expected | {"hangs": "skipped", "is too long": "skipped"}
    assert "JSONDecodeError" in outcomes["fails"].reason
    assert outcomes["dies"].reason == "its process ended with status 3"


@pytest.mark.parametrize(
    ("operator", "side", "direction", "ideal", "kernels"),
    [
        ("pixel_attention", 7, "forward", 9.6, 9.6),
        ("pixel_attention", 7, "backward", 15.0, 15.0),
        ("pixel_attention", 56, "forward", 3630, 3630),
        ("pixel_attention_block", 7, "forward", 11.2, 24),
        ("pixel_attention_block", 7, "backward", 22.4, 39),
        ("pixel_attention_block", 14, "backward", 112, 157),
        ("pixel_attention_block", 56, "both", 4280 + 8970, 4300 + 9200),
        ("positional_encoding", 28, "forward", 137, 137),
    ],
)
def test_floors_of_an_h100(operator, side, direction, ideal, kernels) -> None:
    """3.0 TB/s and 800 TFLOP/s; counted by hand, in microseconds."""
    case = Case(operator, 256, side, side, dtype="bfloat16")
    ceilings = Ceilings(3.0e12, 800e12)
    found = ceilings.seconds(floors.ideal(case, direction))
    assert found * 1e6 == pytest.approx(ideal, rel=0.02)
    found = ceilings.seconds(floors.kernels(case, direction))
    assert found * 1e6 == pytest.approx(kernels, rel=0.02)


def test_targets() -> None:
    case = Case("pixel_attention_block", 256, 7, 7, dtype="bfloat16", device="cuda")
    medians = {
        (case, OURS, "forward"): 30e-6,
        (case, OURS, "backward"): 70e-6,
        (case, "eager, NCHW", "forward"): 90e-6,
        (case, "eager, channels_last", "forward"): 72e-6,
    }
    times = targets.Times({("pixel_attention_block", 7): case}, medians)
    found = targets.timing_targets(times, Ceilings(3.0e12, 800e12), "NVIDIA H100 80GB HBM3")
    verdicts = {target.target: (target.found, target.passed) for target in found}
    block = "pixel_attention_block 7x7"
    assert verdicts[f"{block}, B = 256, forward <= 36 us"] == ("30.0 us", True)
    assert verdicts[f"{block}, B = 256, backward <= 60 us"] == ("70.0 us", False)
    assert verdicts[f"{block} forward against the faster eager >= 2.5x"] == ("2.40x", False)
    assert verdicts[f"{block} forward against torch.compile >= 1.5x"] == ("not measured", None)
    [flow] = targets.flow_targets({"flow default 224x224": 61e-6, "flow fast 224x224": 1e-6})
    assert (flow.found, flow.passed) == ("61.0 us", False)


def test_a_sanitizer_ends_with_all_under_it(tmp_path: Path, fake_sanitizer) -> None:
    """The tool starts a program, whose number it leaves in a file, and hangs."""
    number = tmp_path / "number"
    fake_sanitizer(f"sleep 600 &\necho $! > {number}\nwait")
    with pytest.raises(subprocess.TimeoutExpired):
        sanitizer.run("memcheck", "cuda", time.monotonic() + 1)
    state = Path("/proc", number.read_text().strip(), "stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_poison_ends_with_the_check() -> None:
    before = torch.utils.deterministic.fill_uninitialized_memory
    with parity.poisoned_memory():
        assert torch.empty(3).isnan().all()
    assert torch.utils.deterministic.fill_uninitialized_memory == before
