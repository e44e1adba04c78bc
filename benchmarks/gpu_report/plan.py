"""What a report runs: on a GPU, or as a tiny rehearsal on a CPU whose kernels are interpreted."""

from __future__ import annotations

import dataclasses
import functools

from benchmarks.cases import DIRECTIONS, OPERATORS, SIDES, Case, case_of
from benchmarks.gpu_report import checks, correctness, flow, sanitizer, timings
from benchmarks.gpu_report.correctness import AttentionShape, BlockShape
from benchmarks.gpu_report.jobs import Job
from benchmarks.peers import OURS, peers

GPU_DTYPES = ("bfloat16", "float16", "float32")
INTERPRETED_DTYPES = ("float32", "float16")  # the interpreter computes no bfloat16
TINY_SIDE = 3
FLOW_PRESETS = ("fast", "default", "best")
FLOW_SIZES = ((8, 8), (33, 47), (65, 129), (224, 224), (260, 210))
FLOW_FRAMES = 65  # 64 pairs
TIMED_FLOW_SIZES = ((224, 224), (260, 210))
TINY_FLOW_SIZES = ((16, 24),)
OTHER_BATCHES = (100, 300)
DETERMINISM_REPEATS = 20
MIN_TIMING_SECONDS = 3.0

ATTENTION_SHAPES = (
    AttentionShape((3, 1, 49, 49, 64, 512)),
    AttentionShape((2, 2, 35, 35, 48, 80)),
    AttentionShape((2, 1, 1, 1, 16, 16)),
    AttentionShape((3, 2, 7, 49, 32, 32)),
    AttentionShape((2, 1, 49, 49, 64, 512), strides="channels first"),
    AttentionShape((2, 2, 49, 49, 32, 32), strides="expanded gradient"),
    AttentionShape((4, 2, 49, 49, 32, 32), bias=(2, 49, 49)),
    AttentionShape((4, 2, 49, 49, 32, 32), bias=(2, 2, 49, 49)),
    AttentionShape((2, 1, 196, 196, 64, 512)),
    AttentionShape((2, 12, 197, 197, 64, 64)),
    AttentionShape((1, 1, 81, 81, 16, 48), strides="sliced"),
    AttentionShape((2, 1, 100, 20, 128, 32)),
    AttentionShape((2, 1, 70, 100, 16, 16), bias=(70, 100)),
    AttentionShape((2, 1, 784, 784, 64, 512)),
    AttentionShape((1, 1, 140, 323, 48, 272)),
    AttentionShape((2, 1, 300, 300, 32, 32), strides="sliced"),
    AttentionShape((2, 2, 260, 300, 32, 32), bias=(2, 260, 300)),
    AttentionShape((1, 1, 3136, 3136, 64, 512)),
)
BLOCK_SHAPES = (
    BlockShape((5, 512, 7, 7), 64),
    BlockShape((5, 512, 7, 7), 64, layout="nchw"),
    BlockShape((3, 48, 5, 7)),
    BlockShape((2, 64, 1, 1)),
    BlockShape((2, 512, 7, 7), 64, gamma=0.0),
    BlockShape((2, 64, 7, 7), is_bare=True),
    BlockShape((2, 64, 9, 9), 32, num_heads=2, strides="sliced"),
    BlockShape((2, 512, 14, 14), 64),
    BlockShape((1, 512, 28, 28), 64),
    BlockShape((1, 64, 17, 19), strides="expanded gradient"),
)
ENCODING_SHAPES = (
    ((9, 512, 7, 7), "channels_last", "dense"),
    ((9, 512, 7, 7), "nchw", "dense"),
    ((3, 36, 5, 7), "channels_last", "sliced"),
    ((2, 16, 1, 1), "nchw", "dense"),
)
TINY_ATTENTION_SHAPES = (
    AttentionShape((2, 1, 9, 9, 16, 32)),
    AttentionShape((2, 2, 5, 7, 16, 16), bias=(2, 5, 7)),
    AttentionShape((1, 1, 20, 70, 16, 16), strides="sliced"),
    AttentionShape((1, 1, 20, 260, 16, 16)),
)


def correctness_jobs(device: str, tiny: bool) -> list[Job]:
    """Parity of each operator, type by type."""
    attention = TINY_ATTENTION_SHAPES if tiny else ATTENTION_SHAPES
    block = (BlockShape((2, 32, 3, 5)),) if tiny else BLOCK_SHAPES
    encoding = (((2, 16, 3, 5), "channels_last", "dense"),) if tiny else ENCODING_SHAPES
    jobs = []
    for dtype in INTERPRETED_DTYPES if device == "cpu" else GPU_DTYPES:
        where = {"dtype": dtype, "device": device}
        for function, operator, shapes in (
            (correctness.check_attention, "pixel_attention", attention),
            (correctness.check_block, "pixel_attention_block", block),
        ):
            for shape in shapes:
                name = f"{operator} {dtype} {_changed_fields(shape)}"
                jobs.append(Job("parity", name, function, {"shape": shape, **where}))
        for sizes, layout, strides in encoding:
            name = f"positional_encoding {dtype} {sizes} {layout} {strides}"
            arguments = {"sizes": sizes, "layout": layout, "strides": strides, **where}
            jobs.append(Job("parity", name, correctness.check_encoding, arguments))
    return jobs


def _changed_fields(shape: AttentionShape | BlockShape) -> str:
    """The fields of a shape that are not at their defaults."""
    return ", ".join(
        f"{field.name} {getattr(shape, field.name)}"
        for field in dataclasses.fields(shape)
        if getattr(shape, field.name) != field.default
    )


def check_jobs(device: str, tiny: bool) -> list[Job]:
    """What must hold beside parity."""
    dtype = "float32" if device == "cpu" else "bfloat16"
    small = {"C": 32, "key_channels": 16} if tiny else {}
    case = functools.partial(Case, dtype=dtype, device=device, **small)
    repeats = 3 if tiny else DETERMINISM_REPEATS
    compiler = "aot_eager" if tiny else "inductor"
    jobs = []

    def add(name: str, function, **arguments) -> None:
        jobs.append(Job("checks", name, function, arguments))

    for side in (TINY_SIDE,) if tiny else (7, 14, 28):
        for operator in OPERATORS[:2]:
            name = f"determinism {operator} {side}x{side}"
            add(name, checks.determinism, case=case(operator, 8, side, side), repeats=repeats)
    for N in (9,) if tiny else (49, 100, 300):
        arguments = {
            "B": 3 if tiny else 32,
            "N": N,
            "dtype": dtype,
            "device": device,
            "repeats": repeats,
        }
        add(f"determinism bias N={N}", checks.bias_determinism, **arguments)
    for operator in OPERATORS:
        at = case(operator, 4, TINY_SIDE if tiny else 7, TINY_SIDE if tiny else 7)
        if device == "cuda":
            add(f"CUDA graph {operator}", checks.graph_replay, case=at)
        add(f"torch.compile {operator}", checks.compiled, case=at, compiler=compiler)
        add(f"opcheck {operator}", checks.operator_check, case=at)
    at = case("pixel_attention_block", 4, TINY_SIDE, TINY_SIDE)
    add("gamma = 0 pixel_attention_block", checks.zero_gamma, case=at)
    B = 3 if tiny else 70_000
    add(f"batch of {B}", checks.large_batch, B=B, dtype=dtype, device=device)
    return jobs


def flow_check_jobs(device: str, tiny: bool) -> list[Job]:
    """Parity of the flow at each size."""
    return [
        Job("checks", f"flow {preset} {H}x{W}", flow.parity, arguments)
        for H, W in (TINY_FLOW_SIZES if tiny else FLOW_SIZES)
        for preset in FLOW_PRESETS
        for arguments in [{"preset": preset, "H": H, "W": W, "device": device}]
    ]


def flow_timing_jobs(device: str, tiny: bool) -> list[Job]:
    """Times of the flow of a clip."""
    sizes = TINY_FLOW_SIZES if tiny else TIMED_FLOW_SIZES
    clip = {"T": 3 if tiny else FLOW_FRAMES, "device": device, "seconds": 0.01 if tiny else 0.2}
    return [
        Job("flow", f"flow {preset} {H}x{W}", flow.time_preset, arguments, MIN_TIMING_SECONDS)
        for H, W in sizes
        for preset in FLOW_PRESETS
        for arguments in [{"preset": preset, "H": H, "W": W, **clip}]
    ]


def timed_cases(device: str, tiny: bool) -> list[Case]:
    """Of each operator: one batch at each size, and at 7x7 other batches."""
    if tiny:
        sizes = {"B": 2, "H": TINY_SIDE, "W": TINY_SIDE, "C": 32, "key_channels": 16}
        return [Case(operator, **sizes, device=device) for operator in OPERATORS]
    order = ("pixel_attention_block", "pixel_attention", "positional_encoding")
    cases = [case_of(operator, side, device) for side in SIDES for operator in order]
    others = [dataclasses.replace(case, B=B) for case in cases[:3] for B in OTHER_BATCHES]
    return cases + others


def timing_jobs(cases: list[Case], tiny: bool) -> list[Job]:
    """All peers of all cases, those that need no compiler first."""
    jobs = []
    for case in cases:
        directions = [
            direction
            for direction in DIRECTIONS
            if (case.operator, direction) != ("positional_encoding", "backward")
        ]
        arguments = {"directions": directions, "seconds": 0.01 if tiny else 0.05}
        for peer in peers(case.operator, case.device, "triton"):
            if peer.compile_seconds and (tiny or case.B in OTHER_BATCHES):
                continue
            if tiny and peer.layout == "nchw":
                continue
            name = f"{case.operator} {case.H}x{case.W} B={case.B} {peer.name}"
            arguments = arguments | {"case": case, "name": peer.name}
            seconds = MIN_TIMING_SECONDS + peer.compile_seconds
            jobs.append(Job("timings", name, timings.time_peer, arguments, seconds))
    return sorted(jobs, key=lambda job: (job.seconds, job.arguments["name"] != OURS))


def compile_jobs(jobs: list[Job]) -> list[Job]:
    """What fills the compilers' caches for timing jobs, while the GPU is shared.

    Not where the plain formula would fill the GPU's memory, and not for what chooses by timing.
    """
    return [
        Job(
            "compilation", job.name, timings.compile_peer, {"case": case, "name": name}, job.seconds
        )
        for job in jobs
        for case, name in [(job.arguments["case"], job.arguments["name"])]
        if job.seconds > MIN_TIMING_SECONDS
        if "max-autotune" not in name and not _fills_memory(case)
    ]


def _fills_memory(case: Case) -> bool:
    return max(SIDES) == case.H


def sanitizer_jobs(device: str, deadline: float) -> list[Job]:
    """The tools of compute-sanitizer that tell wrong memory accesses and barriers."""
    return [
        Job("sanitizer", f"compute-sanitizer {tool}", sanitizer.run, arguments)
        for tool in ("memcheck", "racecheck", "synccheck")
        for arguments in [{"tool": tool, "device": device, "deadline": deadline}]
    ]
