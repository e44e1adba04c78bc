"""Each stage of csrc/flow/cpu alone against the reference in float64."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slt_fast.ops.optical_flow.presets import DisvrParameters
from slt_fast.ops.optical_flow.reference import enlarge, pyramid
from slt_fast.ops.optical_flow.reference.images import sobel_gradients
from slt_fast.ops.optical_flow.reference.patches import densify, search
from slt_fast.ops.optical_flow.reference.refinement import refine

# Tolerance of a stage, in grey levels or pixels.
TOLERANCE = 1e-4
SIZES = [(8, 8), (9, 13), (40, 70)]
# Each stride and number of iterations, and each kind of size: one patch, odd sides, many patches.
SEARCHES = [
    (8, 8, 4, 3),
    (9, 13, 1, 1),
    (9, 13, 3, 3),
    (17, 33, 4, 0),
    (40, 70, 8, 1),
    (40, 70, 4, 3),
    (61, 50, 3, 1),
]
# Motions that stay inside, that cross the border, and that leave the image.
DENSIFICATIONS = [
    (8, 8, 4, 5),
    (9, 13, 1, 0.5),
    (9, 13, 3, 1000),
    (17, 33, 8, 1000),
    (40, 70, 4, 0.5),
    (40, 70, 8, 5),
    (61, 50, 3, 5),
    (61, 50, 1, 1000),
]

FLAGS = {"baseline": ["-O1"], "avx2": ["-O1", "-mavx2", "-mfma", "-DSLT_FAST_AVX"]}

Run = Callable[..., torch.Tensor]


@pytest.fixture(scope="module", params=FLAGS)
def run(build: Callable[..., Path], request: pytest.FixtureRequest) -> Run:
    """Calls a stage with tensors and numbers, and returns its last argument, which it fills."""
    if request.param == "avx2" and torch.backends.cpu.get_cpu_capability() not in (
        "AVX2",
        "AVX512",
    ):
        pytest.skip("the CPU has no AVX2")
    source = Path(__file__).with_name("flow_stages.cpp")
    flags = [*FLAGS[request.param], "-fPIC", "-shared"]
    library = ctypes.CDLL(str(build(f"flow_stages_{request.param}.so", [source], *flags)))

    def run_stage(name: str, *arguments: torch.Tensor | int) -> torch.Tensor:
        arrays = [
            value.contiguous().numpy() if torch.is_tensor(value) else value for value in arguments
        ]
        pointers = [
            value.ctypes.data_as(ctypes.c_void_p) if isinstance(value, np.ndarray) else value
            for value in arrays
        ]
        getattr(library, f"stage_{name}")(*pointers)
        return torch.from_numpy(arrays[-1])

    return run_stage


def random_pair(H: int, W: int) -> torch.Tensor:
    """Returns two images [2, H, W] of smooth noise, 0 to 255, that differ by a few grey levels."""
    generator = torch.Generator().manual_seed(100 * H + W)
    coarse = torch.rand(2, 1, H // 3 + 2, W // 3 + 2, generator=generator)
    coarse[1] = coarse[0] + 0.1 * (coarse[1] - 0.5)
    return F.interpolate(coarse, (H, W), mode="bicubic")[:, 0].clamp(0, 1) * 255


def random_flow(*shape: int, size: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return (torch.rand(shape, generator=generator) - 0.5) * 2 * size


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found.double(), expected[0], atol=TOLERANCE, rtol=0)


def nothing(*shape: int) -> torch.Tensor:
    return torch.full(shape, torch.nan)


@pytest.mark.parametrize(("H", "W"), SIZES)
def test_pyramid_is_exact(run: Run, H: int, W: int) -> None:
    frame = torch.randint(0, 256, (1, H, W), dtype=torch.uint8)
    for level, expected in enumerate(pyramid(frame.double(), 2)):
        found = run("pyramid", frame[0], H, W, level, nothing(*expected.shape[1:]))
        assert torch.equal(found.double(), expected[0])


@pytest.mark.parametrize(("H", "W"), SIZES)
def test_gradients(run: Run, H: int, W: int) -> None:
    image = random_pair(H, W)[:1]
    expected = torch.stack(sobel_gradients(image.double()), dim=1)
    assert_close(run("gradients", image, H, W, nothing(2, H, W)), expected)


@pytest.mark.parametrize(("H", "W", "stride", "iterations"), SEARCHES)
def test_search(run: Run, H: int, W: int, stride: int, iterations: int) -> None:
    first, second = pair = random_pair(H, W)
    coarser = random_flow(2, H // 2, W // 2, size=3)
    start = enlarge(coarser[None].double(), H, W, scale=2)
    expected = search(first[None].double(), second[None].double(), start, stride, iterations)
    motions = nothing(*expected.shape[1:])
    assert_close(run("search", pair, H, W, coarser, stride, iterations, motions), expected)


@pytest.mark.parametrize(("H", "W", "stride", "size"), DENSIFICATIONS)
def test_densify(run: Run, H: int, W: int, stride: int, size: float) -> None:
    first, second = pair = random_pair(H, W)
    motions = random_flow(2, 1 + (H - 8) // stride, 1 + (W - 8) // stride, size=size)
    expected = densify(first[None].double(), second[None].double(), motions[None].double(), stride)
    found = run("densify", pair, H, W, motions, stride, nothing(2, H, W))
    assert_close(found / max(size, 1), expected / max(size, 1))


@pytest.mark.parametrize(
    ("warps", "fixed_points", "sweeps"), [(0, 1, 1), (1, 1, 1), (1, 1, 3), (1, 2, 1), (2, 1, 1)]
)
@pytest.mark.parametrize(("H", "W"), SIZES)
def test_refinement(run: Run, H: int, W: int, warps: int, fixed_points: int, sweeps: int) -> None:
    first, second = pair = random_pair(H, W)
    flow = random_flow(2, H, W, size=0.7)
    parameters = DisvrParameters(0, 4, 8, warps, fixed_points, sweeps)
    expected = refine(first[None].double(), second[None].double(), flow[None].double(), parameters)
    assert (expected[0] - flow).abs().max() > 1e-2 or warps == 0
    assert_close(run("refine", pair, H, W, warps, fixed_points, sweeps, flow.clone()), expected)
