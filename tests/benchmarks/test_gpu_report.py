import json
import os
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.cases import OPERATORS, Case
from benchmarks.floors import Ceilings
from benchmarks.gpu_report import __main__ as command
from benchmarks.gpu_report import plan, suite, table, targets, timings, training
from benchmarks.gpu_report.report import Report
from benchmarks.jobs import ROOT, Job, Outcome
from benchmarks.parity import WrongResult
from benchmarks.peers import KERNELS, OURS
from slt_fast.ops import kernel_table
from slt_fast.ops.pixel_attention_block import one_kernel

# Hides packages that the report must run without, from this Python and all that it starts.
HIDING = """
from importlib.machinery import PathFinder

missing = {
    *("av", "cv2", "rich", "sacrebleu", "safetensors", "simplejpeg", "tensorboard", "torchvision"),
    *("tqdm", "tyro"),
}
found = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name in missing else found(name, *rest)
)
"""


@pytest.mark.slow
def test_rehearsal_on_a_cpu(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # a worker writes no results
    if torch.cuda.is_available():
        pytest.skip("a rehearsal is for machines without a GPU; torch.cuda finds one")
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    output = tmp_path / "report"
    command = [sys.executable, "-m", "benchmarks.gpu_report", "--output", output]
    finished = subprocess.run(
        [*command, "--device", "cpu", "--tiny"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    report = json.loads((output / "report.json").read_text())
    assert report["environment"]["torch"] == torch.__version__
    assert report["ceilings"]["bandwidth"] > 0
    passed = {test["name"] for test in report["tests"][0]["tests"] if test["outcome"] == "passed"}
    files = {name.partition("::")[0] for name in passed}
    assert files >= {*suite.PARITY_FILES.values(), "tests/ops/test_kernels_on_gpu.py"}
    for row in report["timings"]:
        assert {"forward", "both"} <= row["times"].keys(), row
        for times in row["times"].values():
            assert 0 < times["hot"]["p20"] <= times["hot"]["median"] <= times["hot"]["p80"]
    assert len(report["flow"]) == len(plan.FLOW_PRESETS)
    assert all(row["times"]["launched"]["median"] > 0 for row in report["flow"])
    assert {row["case"]["operator"] for row in report["timings"]} == set(OPERATORS)
    assert {row["passed"] for row in report["sanitizer"]} == {None}
    (training,) = report["training"]
    assert training["passed"] is None and training["detail"].startswith("not installed: av, cv2,")
    assert {row["status"] for row in report["not done"]} <= {"skipped"}
    markdown = (output / "table.md").read_text()
    assert markdown.strip() in finished.stdout
    assert f"| {OURS} |" in markdown and "| gradients bit-equal over repeats | 3 of 3 " in markdown


def test_without_a_gpu_it_says_what_is_needed(monkeypatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_report"])
    with pytest.raises(SystemExit, match="found no CUDA GPU; expected one"):
        command.main()
    monkeypatch.setattr(sys, "argv", ["gpu_report", "--device", "cpu"])
    with pytest.raises(SystemExit):
        command.main()
    assert "found --device cpu alone; expected --tiny" in capsys.readouterr().err


@pytest.mark.slow
def test_rows_of_the_training(monkeypatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # a worker takes no times
    result = training.run("loader and fast", deadline=time.monotonic() + 300)
    assert result["passed"] and result["detail"] == "1 rows", result["detail"]
    report = Report()
    report.outcomes.append(Outcome(Job("training", "pytest", training.run), "done", result))
    (row,) = report.content()["training"][0]["rows"]
    assert row["from"] == "png" and float(row["ours ms"]) > 0
    lines = table.render(report).splitlines()
    heading = lines.index("## training_loader, ours / plain PyTorch")
    assert lines[heading + 2].startswith("| size | from | preset ")
    assert lines[heading + 4].startswith("| 210x260 to 224x224 | png | fast ")


def test_a_training_that_fails_is_wrong(monkeypatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    result = training.run("no_such_benchmark", deadline=time.monotonic() + 300)
    assert result["passed"] is False and "deselected" in result["detail"]
    report = Report()
    report.outcomes.append(Outcome(Job("training", "pytest", training.run), "done", result))
    assert report.num_wrong() == 1


TESTS = """
import os, time, pytest

def test_passes(): pass
def test_fails(): assert 1 == 2, "not equal"
def test_crashes(): os.abort()
def test_hangs(): time.sleep(600)
@pytest.mark.parametrize("number", range(3))
def test_is_slow(number): time.sleep(600 if "SLOW" in os.environ else 0)
def test_is_skipped(): pytest.skip("for a reason")
"""


@pytest.fixture
def run_tests(tmp_path: Path, monkeypatch) -> Callable[..., dict]:
    """Runs a file of tests as the report does; gives each test's record, and the rest."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    def run(text: str, seconds: float = 120, limit: float = 600.0) -> tuple[dict, dict]:
        path = tmp_path / "test_of_a_report.py"
        path.write_text(text)
        found = suite.run(
            [str(path)],
            tmp_path / "results.jsonl",
            keyword="",
            num_processes=1,
            deadline=time.monotonic() + seconds,
            test_seconds=limit,
        )
        return {test["name"].partition("::")[2]: test for test in found.pop("tests")}, found

    return run


def test_a_test_fails_crashes_or_hangs_alone(run_tests) -> None:
    tests, found = run_tests(TESTS, limit=2.0)
    outcomes = {name: test["outcome"] for name, test in tests.items()}
    wrong = dict.fromkeys(("test_fails", "test_crashes", "test_hangs"), "failed")
    right = dict.fromkeys(("test_passes", *(f"test_is_slow[{n}]" for n in range(3))), "passed")
    assert outcomes == wrong | right | {"test_is_skipped": "skipped"}
    assert "not equal" in tests["test_fails"]["reason"]
    assert "crashed" in tests["test_crashes"]["reason"]
    assert "for a reason" in tests["test_is_skipped"]["reason"]
    assert not found["passed"]
    assert found["detail"] == "4 passed, 3 failed, 1 skipped, 0 not run"


def test_a_failure_on_a_gpu_ends_its_worker(run_tests) -> None:
    """Torch is faked, with a GPU in use; what is spoilt must not reach the next test."""
    tests, found = run_tests(
        "import sys, types\n"
        "cuda = types.SimpleNamespace(is_initialized=lambda: True)\n"
        "sys.modules['torch'] = types.SimpleNamespace(cuda=cuda)\n"
        "spoilt = []\n"
        "def test_fails(): spoilt.append(1); assert 1 == 2, 'not equal'\n"
        "def test_is_not_spoilt(): assert not spoilt\n"
    )
    assert found["detail"] == "1 passed, 1 failed, 0 skipped, 0 not run"
    assert "not equal" in tests["test_fails"]["reason"]


@pytest.mark.slow
def test_the_deadline_keeps_what_is_known(run_tests, monkeypatch) -> None:
    monkeypatch.setenv("SLOW", "")
    quick = "\n".join(line for line in TESTS.splitlines() if "crashes" not in line)
    tests, found = run_tests(quick.replace("def test_hangs", "def hangs"), seconds=10)
    assert tests["test_passes"]["outcome"] == "passed"
    assert tests["test_is_slow[2]"]["outcome"] == "not run"
    assert tests["test_is_slow[2]"]["reason"] == "no time was left"
    assert not found["passed"]  # one has failed


def test_a_run_with_tests_that_were_not_run_has_not_passed(monkeypatch, tmp_path: Path) -> None:
    records: list[dict] = []
    monkeypatch.setattr(suite, "run_command", lambda *_: (0, ""))
    monkeypatch.setattr(suite, "_read", lambda path: records)
    for outcome, passed in (("passed", True), ("skipped", True), ("not run", False)):
        records.append({"name": outcome, "outcome": outcome})
        found = suite.run([], tmp_path / "results", keyword="", num_processes=1, deadline=0)
        assert found["passed"] == passed


@pytest.mark.slow
def test_tests_that_cannot_be_imported_are_wrong(run_tests) -> None:
    tests, found = run_tests("import no_such_module")
    assert not found["passed"] and found["detail"].startswith("0 passed, 1 failed")
    [test] = tests.values()
    assert "no_such_module" in test["reason"]


@pytest.mark.slow
def test_no_tests_are_wrong(run_tests) -> None:
    tests, found = run_tests("")
    assert not tests and not found["passed"]
    assert "pytest ended with status 5" in found["detail"]


def test_its_tests_exist() -> None:
    for name in suite.TESTS:
        path, _, test = name.partition("::")
        assert f"def {test}" in (ROOT / path).read_text()


@pytest.fixture
def fake_sanitizer(tmp_path: Path, monkeypatch) -> Callable[[str], None]:
    """Puts a shell script in the place of compute-sanitizer."""

    def put(script: str) -> None:
        program = tmp_path / "compute-sanitizer"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return put


def sanitizer_results(device: str, seconds: float = 60) -> list[dict]:
    jobs = plan.sanitizer_jobs(device, time.monotonic() + seconds)
    return [job.function(**job.arguments) for job in jobs]


def test_a_report_of_the_cpu_runs_no_sanitizer(fake_sanitizer) -> None:
    fake_sanitizer("exit 1")
    for device, passed in (("cpu", None), ("cuda", False)):
        assert [result["passed"] for result in sanitizer_results(device)] == [passed] * 3


def test_the_sanitizers_summary_is_kept(fake_sanitizer) -> None:
    fake_sanitizer("echo ========= ERROR SUMMARY: 0 errors")
    clean = {"passed": True, "detail": "ERROR SUMMARY: 0 errors"}
    assert sanitizer_results("cuda") == [clean] * 3


def test_a_sanitizer_that_hangs_is_ended(fake_sanitizer) -> None:
    fake_sanitizer("sleep 600")
    with pytest.raises(subprocess.TimeoutExpired):
        sanitizer_results("cuda", seconds=1)


def report_of(*tests: tuple[str, str]) -> Report:
    report = Report()
    records = [{"name": name, "outcome": outcome, "reason": ""} for name, outcome in tests]
    passed = all(outcome in ("passed", "skipped") for _, outcome in tests)
    result = {"tests": records, "passed": passed, "detail": ""}
    report.outcomes.append(Outcome(Job("tests", "pytest", suite.run), "done", result))
    return report


def test_an_operator_whose_test_failed_gets_no_time() -> None:
    attention, block = (suite.PARITY_FILES[operator] for operator in OPERATORS[:2])
    report = report_of(
        (f"{attention}::test_outputs[float32-(2, 1)]", "passed"),
        (f"{attention}::test_bias[float32-(2, 1)]", "failed"),
        (f"{block}::test_outputs[float32-(2, 1)]", "passed"),
        (f"{block}::test_outputs[bfloat16-(2, 1)]", "failed"),
        (f"{block}::test_outputs[float16-(2, 1)]", "passed"),
    )
    jobs = plan.timing_jobs(plan.timed_cases("cpu", tiny=True), tiny=True)
    allowed = {job.arguments["case"].operator for job in report.without_time(jobs)}
    assert allowed == {"pixel_attention_block"}  # of the encoding nothing is known
    assert report.is_green("pixel_attention_block", "float16")
    assert not report.is_green("pixel_attention_block", "bfloat16")
    markdown = table.render(report)
    assert "no time: the tests of pixel_attention in float32 did not pass" in markdown
    assert f"| {attention} | 1 | 1 | 0 | 0 |" in markdown


def test_each_kernel_of_half_types_is_timed(monkeypatch) -> None:
    compile_kernels = pytest.importorskip("tests.ops.compile_kernels", reason="needs triton")
    properties = types.SimpleNamespace(total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(kernel_table, "architecture_of", lambda device: 90)
    monkeypatch.setattr(one_kernel, "_choice", None)  # what is chosen below ends with the test
    names = {"positional_encoding": "add_positional_encoding_2d"}
    cases, timed = plan.timed_cases("cuda", tiny=False), []
    for arguments in (job.arguments for job in plan.timing_jobs(cases, tiny=False)):
        case, name = arguments["case"], arguments["name"]
        heads = case.num_heads
        job = {"N": case.N, "dk": case.key_channels // heads, "dv": case.C // heads}
        job |= {"heads": heads, "bias": case.biased, "one_kernel": KERNELS.get(name, False)}
        launches = compile_kernels.LAUNCHERS[names.get(case.operator, case.operator)]
        if name.startswith("ours"):
            timed += [launch.row for launch in launches(job, case.torch_dtype)]
    kinds = {(row.kernel, row.biased) for row in timed if row.itemsize == 2}
    table = {(row.kernel, row.biased) for row in kernel_table.rows() if row.itemsize == 2}
    assert kinds == table
    sums = {row.kernel for row in timed if row.itemsize == 4}
    assert sums >= {"flash_forward", "flash_forward_residual", "projection", "weights_backward"}


def test_errors_of_float32_are_reported() -> None:
    report = report_of(*((f"{path}::t[float32]", "passed") for path in suite.PARITY_FILES.values()))
    case = Case("pixel_attention", 2, 3, 3, 32, 16, biased=True)
    found = timings.time_peer(case, OURS, ["forward"], 0.001)
    assert found["errors"].keys() == {"output", "q", "k", "v", "bias"}
    ceilings = Outcome(Job("ceilings", "", suite.run), "done", {"bandwidth": 1.0, "rate": 1.0})
    job = Job("timings", "", suite.run, {"case": case, "name": OURS, "directions": ["forward"]})
    report.outcomes += [ceilings, Outcome(job, "done", found)]
    markdown = table.render(report)
    assert "float32, biased" in markdown
    assert f"output {found['errors']['output']:.1e}, q " in markdown
    assert targets.measured(report.section("timings"))[1] == {}  # no target is for it


def test_a_peer_that_does_not_compile_gets_no_time() -> None:
    report = report_of((f"{suite.PARITY_FILES['pixel_attention']}::test[float32]", "passed"))
    case = Case("pixel_attention", 2, 3, 3)
    jobs = [job for job in plan.timing_jobs([case], tiny=False) if "compile" in job.name]
    [compilation] = plan.compile_jobs(jobs)
    report.outcomes.append(Outcome(compilation, "failed", reason="too large"))
    assert report.without_time(jobs) == []
    assert "no time: it did not compile" in table.render(report)


def test_a_wrong_peer_gets_no_time(monkeypatch) -> None:
    def refuse(case, peer):
        raise WrongResult("found errors")

    monkeypatch.setattr(timings, "checked", refuse)
    case = Case("pixel_attention", 2, 3, 3, 32, 16)
    assert timings.time_peer(case, OURS, ["forward"], 0.001) == {"refused": "found errors"}


def test_wrong_is_what_failed() -> None:
    assert report_of(("a", "passed"), ("b", "skipped")).num_wrong() == 0
    assert report_of(("a", "passed"), ("b", "not run")).num_wrong() == 1  # the run of the tests
    report = report_of(("a", "failed"))
    assert report.num_wrong() == 2  # the test, and the run of the tests
    for section, counts in (("sanitizer", 1), ("timings", 0), ("compilation", 0), ("flow", 1)):
        before = report.num_wrong()
        case = {"case": Case("pixel_attention", 2, 3, 3), "name": OURS}
        report.outcomes.append(Outcome(Job(section, "", suite.run, case), "failed"))
        assert report.num_wrong() == before + counts, section


def test_targets() -> None:
    block = "pixel_attention_block"
    case = Case(block, 256, 7, 7, dtype="bfloat16", device="cuda")
    medians = {
        (block, 7, OURS, "forward"): 30e-6,
        (block, 7, OURS, "backward"): 70e-6,
        (block, 7, "eager, NCHW", "forward"): 90e-6,
        (block, 7, "eager, channels_last", "forward"): 72e-6,
        (block, 7, OURS, "both, launched"): 80e-6,
        (block, 7, "eager, NCHW", "both, launched"): 100e-6,
    }
    device = "NVIDIA H100 80GB HBM3"
    ceilings = Ceilings(3.0e12, 800e12)
    found = targets.timing_targets({(block, 7): case}, medians, ceilings, device)
    verdicts = {target.target: (target.found, target.passed) for target in found}
    assert verdicts[f"{block} 7x7, B = 256, forward <= 36 us"] == ("30.0 us", True)
    assert verdicts[f"{block} 7x7, B = 256, backward <= 60 us"] == ("70.0 us", False)
    assert verdicts[f"{block} 7x7 forward against the faster eager >= 2.5x"] == ("2.40x", False)
    assert verdicts[f"{block} 7x7 forward against torch.compile >= 1.5x"] == ("not measured", None)
    launched = f"{block} 7x7 both, launched against the faster eager >= 1.0x"
    assert verdicts[launched] == ("1.25x", True)


def test_medians_are_of_the_first_case() -> None:
    report = Report()
    for B, seconds in ((256, 1e-3), (100, 1e-6)):
        job = Job(
            "timings", "", suite.run, {"case": Case("pixel_attention", B, 7, 7), "name": OURS}
        )
        times = {"cold graph": "not captured", "cold": {"median": seconds}}
        report.outcomes.append(Outcome(job, "done", {"times": {"forward": times}}))
    cases, medians = targets.measured(report.section("timings"))
    assert cases["pixel_attention", 7].B == 256
    assert medians == {("pixel_attention", 7, OURS, "forward"): 1e-3}


def test_target_of_the_flow() -> None:
    outcomes = [
        Outcome(Job("flow", name, suite.run), "done", {"times": {"launched": {"median": seconds}}})
        for name, seconds in (("flow default 224x224", 61e-6), ("flow fast 224x224", 1e-6))
    ]
    [target] = targets.flow_targets(outcomes)
    assert (target.found, target.passed) == ("61.0 us", False)


def test_targets_that_are_checks() -> None:
    report = report_of(("x::test_repeats_are_equal_to_the_bit[7]", "passed"), ("y", "failed"))
    result = {"passed": None, "detail": "not on the PATH"}
    report.outcomes.append(Outcome(Job("sanitizer", "memcheck", suite.run), "done", result))
    repeats, tools = targets.check_targets(report)
    assert (repeats.found, repeats.passed) == ("1 of 1 passed", True)
    assert tools.passed is None
