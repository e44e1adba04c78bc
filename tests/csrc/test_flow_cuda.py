"""The flow's CUDA kernels without a GPU: ptxas' report, and their results on the CPU.

g++ compiles the same files with tests/csrc/cuda_on_cpu instead of CUDA's runtime. The threads of a
block are then fibers.
"""

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import pytest
import torch

from benchmarks.cases import moving_clip
from slt_fast.ops.optical_flow.grey import rgb_to_grey_reference
from slt_fast.ops.optical_flow.presets import DISVR_PRESETS

PROJECT_ROOT = Path(__file__).resolve().parents[2]
KERNELS = {"grey", "float", "halve", "search", "densify", "warp", "fixed_point", "enlarge"}
# Most registers of a thread, so that enough blocks share a multiprocessor's 65536. Most bytes of
# static shared memory on every GPU.
REGISTERS = {"fixed_point": 65536 // 1024, "search": 65536 // (4 * 256)}
SHARED_MEMORY = 48 * 1024

Settings = tuple[int, int, int, int, int, int]
PRESETS = {name: astuple(preset) for name, preset in DISVR_PRESETS.items()}
# Sides below 16 pixels have one level, which shows single stages.
STAGES = {
    "where patches begin": (0, 4, 0, 0, 1, 1),
    "one step of patches": (0, 4, 1, 0, 1, 1),
    "patches at each pixel": (0, 1, 2, 0, 1, 1),
    "patches far apart": (0, 8, 2, 0, 1, 1),
    "one sweep": (0, 4, 0, 1, 1, 1),
    "three fixed points": (0, 4, 0, 1, 3, 2),
    "two warps": (0, 4, 0, 2, 1, 1),
}
# One patch, odd sides, one region, one pixel more than a region, several regions.
SIZES = [(8, 8), (8, 40), (17, 40), (64, 64), (65, 66), (90, 131)]
FLOWS = [("default", size) for size in SIZES[:-1]] + [("fast", (65, 66)), ("best", (17, 40))]
SLOW_FLOWS = [(preset, size) for size in SIZES for preset in PRESETS if (preset, size) not in FLOWS]
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to build the kernels for the CPU; found none on the PATH")
    folder = Path(__file__).parent
    path = tmp_path_factory.mktemp("flow_cuda") / "flow_cuda.so"
    options = ["-std=c++17", "-O2", "-fPIC", "-shared", "-I", folder / "cuda_on_cpu"]
    command = [compiler, *options, "-o", path, folder / "flow_cuda.cpp"]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(path))


def run_kernels(
    library: ctypes.CDLL,
    frames: torch.Tensor,
    settings: Settings,
    *,
    pairs_at_once: int | None = None,
    is_backward: bool = False,
    level: int = -1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the flow, and the frames at a level of the pyramid."""
    T, H, W = frames.shape
    flow = torch.full((T - 1, 2, H, W), torch.nan)
    pyramid = torch.full((T, H >> max(level, 0), W >> max(level, 0)), torch.nan)
    library.flow_of_clip(
        ctypes.c_void_p(frames.data_ptr()),
        ctypes.c_int64(T - 1),
        *(H, W, (ctypes.c_int * 6)(*settings)),
        ctypes.c_int64(pairs_at_once or T - 1),
        ctypes.c_bool(is_backward),
        ctypes.c_void_p(flow.data_ptr()),
        *(level, ctypes.c_void_p(pyramid.data_ptr())),
    )
    return flow, pyramid


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("H", "W"), [(8, 8), (15, 90), (70, 9)])
def test_stages_equal_the_cpus(library, stage, H, W) -> None:
    frames = moving_clip(2, H, W)
    expected = torch.ops.slt_fast.disvr(frames, *STAGES[stage])
    flow, _ = run_kernels(library, frames, STAGES[stage])
    torch.testing.assert_close(flow, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("preset", "size"), FLOWS + [pytest.param(*flow, marks=SLOW) for flow in SLOW_FLOWS]
)
def test_flow_equals_the_cpus(library, preset, size) -> None:
    """Uses percentiles, because a few pixels of a field react strongly to rounding."""
    frames = moving_clip(3, *size)
    expected = torch.ops.slt_fast.disvr(frames, *PRESETS[preset])
    difference = (run_kernels(library, frames, PRESETS[preset])[0] - expected).abs()
    assert difference.median() <= 1e-4
    assert difference.quantile(0.99) <= 1e-2


@pytest.mark.parametrize("sweeps", [1, 4, 12])
def test_regions_leave_no_trace(library, sweeps) -> None:
    """More sweeps need a wider halo around a region; the CPU has no regions."""
    settings = (0, 4, 0, 1, 2, sweeps)
    frames = moving_clip(2, 81, 150)
    expected = torch.ops.slt_fast.disvr(frames, *settings)
    flow, _ = run_kernels(library, frames, settings)
    torch.testing.assert_close(flow, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("preset", "H", "W"),
    [
        ("fast", 70, 18),
        ("default", 17, 40),
        pytest.param("default", 70, 18, marks=SLOW),
        pytest.param("best", 70, 18, marks=SLOW),
    ],
)
def test_neither_clip_nor_order_change_a_bit(library, preset, H, W) -> None:
    """Neither does the number of pairs at a time, nor which thread or block comes first."""
    frames, settings = moving_clip(4, H, W), PRESETS[preset]
    together, _ = run_kernels(library, frames, settings)
    alone = [run_kernels(library, frames[t : t + 2], settings)[0] for t in range(3)]
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(together, run_kernels(library, frames, settings, pairs_at_once=2)[0])
    assert torch.equal(together, run_kernels(library, frames, settings, is_backward=True)[0])


@pytest.mark.parametrize("frames", [0, 255, "noise", "stripes"])
def test_extreme_frames_stay_finite(library, frames) -> None:
    clip = torch.full((2, 61, 50), frames if isinstance(frames, int) else 0, dtype=torch.uint8)
    if frames == "noise":
        clip = torch.randint(0, 256, clip.shape, dtype=torch.uint8)
    elif frames == "stripes":
        clip[0] = (torch.arange(61)[:, None] + torch.arange(50)).remainder(4).mul(85).byte()
        clip[1] = clip[0].roll(1, 1)
    flow, _ = run_kernels(library, clip, PRESETS["default"])
    assert flow.isfinite().all()
    assert not (isinstance(frames, int) and flow.any())


@pytest.mark.parametrize("level", [0, 1, 2])
def test_pyramid_is_exact(library, level) -> None:
    frames = moving_clip(3, 67, 130)
    expected = frames.float()
    for _ in range(level):
        H, W = (side // 2 * 2 for side in expected.shape[1:])
        quarters = [expected[:, y:H:2, x:W:2] for y in (0, 1) for x in (0, 1)]
        expected = sum(quarters) * 0.25
    assert torch.equal(run_kernels(library, frames, PRESETS["fast"], level=level)[1], expected)


def test_grey_is_exact(library) -> None:
    frames = torch.randint(0, 256, (2, 33, 31, 3), dtype=torch.uint8)
    grey = torch.zeros(2, 33, 31, dtype=torch.uint8)
    pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (frames, grey)]
    library.grey_of_rgb(pointers[0], ctypes.c_int64(grey.numel()), pointers[1])
    assert torch.equal(grey, rgb_to_grey_reference(frames))


def test_memory_is_bounded(library) -> None:
    for function in (library.pairs_at_once, library.workspace_size):
        function.restype = ctypes.c_int64

    def pairs_and_bytes(pairs: int, side: int, preset: str = "default") -> tuple[int, int]:
        arguments = side, side, (ctypes.c_int * 6)(*PRESETS[preset])
        at_once = library.pairs_at_once(ctypes.c_int64(pairs), *arguments)
        return at_once, 4 * library.workspace_size(ctypes.c_int64(at_once), *arguments)

    assert pairs_and_bytes(3, 224)[0] == 3
    pairs, size = pairs_and_bytes(1000, 224)
    assert 90 < pairs < 130 and size < 2**28
    assert size / pairs / 224**2 < 46
    pairs, size = pairs_and_bytes(1000, 224, "fast")
    assert size / pairs / 224**2 < 17
    assert pairs_and_bytes(10**6, 8)[0] == 65534  # planes of a grid, less the last frame
    pairs, size = pairs_and_bytes(10, 32767)
    assert pairs == 1 and size < 51 * 32767**2


@pytest.fixture(scope="module")
def toolkit():
    """Returns the CUDA toolkit that the extension is built with."""
    path = PROJECT_ROOT / "csrc" / "cuda_toolkit.py"
    spec = importlib.util.spec_from_file_location("cuda_toolkit", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    try:
        return module.find_toolkit(os.environ, torch.version.cuda, None)
    except module.ToolkitMissing as error:
        pytest.skip(f"needs a CUDA toolkit for a look at its machine code: {error}")


@pytest.fixture(scope="module")
def resources(toolkit, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict]:
    """Returns what each kernel uses on each target, as ptxas reports it."""
    source = PROJECT_ROOT / "csrc" / "flow" / "cuda" / "flow.cu"
    command = [toolkit.root / "bin" / "nvcc", "-std=c++17", "-O3", "--threads=2", "-Xptxas=-v"]
    command += [f"-I{toolkit.include}", *toolkit.architecture_flags()]
    command += ["-fatbin", "-o", tmp_path_factory.mktemp("flow") / "flow.fatbin", source]
    compiled = subprocess.run(command, capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr
    pattern = (
        r"entry function '\S*?\d([a-z_]+)_kernel(\S*)' for '(\w+)'.*?(\d+) bytes stack frame, "
        r"(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers(.*?)\n"
    )
    found = {}
    for name, template, target, stack, stores, loads, registers, rest in re.findall(
        pattern, compiled.stderr, re.DOTALL
    ):
        shared = re.search(r"(\d+) bytes smem", rest)
        found[name, template, target] = {
            "spilled": int(stack) + int(stores) + int(loads),
            "registers": int(registers),
            "shared": int(shared[1]) if shared else 0,
        }
    return found


def test_every_kernel_is_compiled_for_every_target(toolkit, resources) -> None:
    targets = {f"sm_{target}" for target in toolkit.targets}
    assert {(name, target) for name, _, target in resources} == {
        (name, target) for name in KERNELS for target in targets
    }


def test_nothing_spills(resources) -> None:
    assert not {kernel for kernel, taken in resources.items() if taken["spilled"]}


def test_blocks_fit_a_multiprocessor(resources) -> None:
    for (name, template, target), taken in resources.items():
        assert taken["registers"] <= REGISTERS.get(name, 48), (name, template, target)
        assert taken["shared"] <= SHARED_MEMORY, (name, template, target)


def test_launch_errors_are_raised(library) -> None:
    """For more planes than a grid has."""
    library.message_of_too_many_pairs.restype = ctypes.c_char_p
    message = library.message_of_too_many_pairs()
    assert message == b"optical flow: a kernel cannot be launched: invalid configuration argument"
