"""Lists what a report runs: on a GPU, or a tiny rehearsal on a CPU that interprets the kernels."""

import dataclasses
from pathlib import Path

from benchmarks.cases import OPERATORS, SIDES, Case, case_of, regime_cases
from benchmarks.gpu_report import sanitizer, suite, timings, training
from benchmarks.jobs import Job
from benchmarks.peers import OURS, applies, peers

FLOW_PRESETS = ("fast", "default", "best")
FLOW_FRAMES = 65  # 64 pairs
FLOW_SIZES = ((224, 224), (260, 210))
OTHER_BATCHES = (100, 300)
REGIME_PEERS = (OURS, "eager, channels_last")
MIN_SECONDS = 3.0


def test_job(output: Path, tiny: bool, num_processes: int, deadline: float) -> Job:
    arguments = {"tests": suite.TESTS, "keyword": suite.TINY if tiny else "", "deadline": deadline}
    arguments |= {"num_processes": num_processes, "results": output / "tests.jsonl"}
    return Job("tests", "pytest", suite.run, arguments)


def sanitizer_jobs(device: str, deadline: float) -> list[Job]:
    """Returns a job for each tool of compute-sanitizer that finds wrong accesses and barriers."""
    arguments = {"device": device, "deadline": deadline}
    return [
        Job("sanitizer", f"compute-sanitizer {tool}", sanitizer.run, {"tool": tool, **arguments})
        for tool in ("memcheck", "racecheck", "synccheck")
    ]


def flow_jobs(device: str, tiny: bool) -> list[Job]:
    clip = {"T": 3 if tiny else FLOW_FRAMES, "device": device, "seconds": 0.01 if tiny else 0.2}
    return [
        _timing_job("flow", f"flow {preset} {H}x{W}", timings.time_flow, arguments, MIN_SECONDS)
        for H, W in ([(16, 24)] if tiny else FLOW_SIZES)
        for preset in FLOW_PRESETS
        for arguments in [{"preset": preset, "H": H, "W": W, **clip}]
    ]


def training_job(tiny: bool, deadline: float) -> Job:
    arguments = {"keyword": "loader and fast" if tiny else "", "deadline": deadline}
    return Job("training", "pytest", training.run, arguments, seconds=5.0 if tiny else 60.0)


def timed_cases(device: str, tiny: bool) -> list[Case]:
    """Returns each operator's cases: each size, other batches at 7x7, and the other kernels."""
    if tiny:
        small = Case("", 2, 3, 3, C=32, key_channels=16, device=device)
        cases = [dataclasses.replace(small, operator=operator) for operator in OPERATORS]
        return [*cases, dataclasses.replace(cases[0], biased=True)]
    order = ("pixel_attention_block", "pixel_attention", "positional_encoding")
    cases = [case_of(operator, side, device) for side in SIDES for operator in order]
    cases += [dataclasses.replace(case, B=B) for case in cases[:3] for B in OTHER_BATCHES]
    return cases + regime_cases(device)


def timing_jobs(cases: list[Case], tiny: bool) -> list[Job]:
    """Returns a job for each peer of each case: those without a compiler first, ours before all."""
    jobs = []
    for case in cases:
        is_regime = case.biased or case in regime_cases(case.device)
        for peer in peers(case.operator, case.device, "triton"):
            if is_regime and peer.name not in REGIME_PEERS:
                continue
            compiles = peer.compile_seconds > 0
            if not applies(case, peer):
                continue
            if compiles and case.B in OTHER_BATCHES or tiny and (compiles or "NCHW" in peer.name):
                continue
            kind = f"{case.dtype}{', biased' if case.biased else ''}"
            name = f"{case.operator} {case.H}x{case.W} B={case.B} {kind} {peer.name}"
            arguments = {"case": case, "name": peer.name, "seconds": 0.01 if tiny else 0.05}
            # The encoding alone has nothing to compute backward.
            backward = [] if case.operator == "positional_encoding" else ["backward"]
            arguments |= {"directions": ["forward", *backward, "both"]}
            seconds = MIN_SECONDS + peer.compile_seconds
            jobs.append(_timing_job("timings", name, timings.time_peer, arguments, seconds))
    return sorted(jobs, key=lambda job: (job.seconds, job.arguments["name"] != OURS))


def _timing_job(section: str, name: str, function, arguments: dict, seconds: float) -> Job:
    return Job(section, name, function, arguments, seconds, limit=5 * (seconds + 5))


def compile_jobs(jobs: list[Job]) -> list[Job]:
    """Returns the jobs that fill the compilers' caches for timing jobs while the GPU is shared.

    Excluded are peers that choose by timing, and the largest maps, which fill the GPU's memory.
    """
    return [
        dataclasses.replace(job, section="compilation", function=timings.compile_peer, arguments=of)
        for job in jobs
        for of in [{name: job.arguments[name] for name in ("case", "name")}]
        if job.seconds > MIN_SECONDS
        if "max-autotune" not in of["name"] and max(SIDES) != of["case"].H
    ]
