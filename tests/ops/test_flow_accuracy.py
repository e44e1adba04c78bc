"""End-point errors on pairs with ground truth, as its slow prototype has them."""

from pathlib import Path

import pytest
import torch

from benchmarks.flow_pairs import load_pair
from slt_fast.ops import optical_flow

# Mean end-point error in pixels at 224x224, 210x260 (W x H) and native size.
EXPECTED = {
    "middlebury/RubberWhale": (0.105, 0.108, 0.112),
    "middlebury/Dimetrodon": (0.077, 0.082, 0.129),
    "middlebury/Venus": (0.185, 0.200, 0.298),
    "middlebury/Grove3": (0.369, 0.389, 0.688),
    "sintel/easy": (0.136, 0.150, 0.235),
    "sintel/medium": (0.594, 0.652, 1.656),
}
SIZES = [(224, 224), (210, 260), None]


def end_point_error(
    folder: Path, size: tuple[int, int] | None, preset: str, backend: str = "cpu"
) -> float:
    pair = load_pair(folder, size)
    flow = optical_flow(torch.from_numpy(pair.frames), preset=preset, backend=backend)[0]
    return pair.end_point_error(flow.numpy())


@pytest.mark.gpu
@pytest.mark.parametrize("size", SIZES, ids=["224x224", "210x260", "native"])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_gpu_has_the_cpus_error(flow_kernels, shared_data, name, size) -> None:
    folder = shared_data / "flow" / name
    for preset in ("fast", "default", "best"):
        on_cpu, on_gpu = (
            end_point_error(folder, size, preset, backend) for backend in ("cpu", "cuda")
        )
        assert abs(on_gpu - on_cpu) <= 1e-3


@pytest.mark.parametrize("size", SIZES, ids=["224x224", "210x260", "native"])
@pytest.mark.parametrize("name", EXPECTED)
def test_default_reaches_its_error(shared_data, name, size) -> None:
    folder = shared_data / "flow" / name
    expected = EXPECTED[name][SIZES.index(size)]
    assert end_point_error(folder, size, "default") <= 1.03 * expected


@pytest.mark.parametrize("name", EXPECTED)
def test_presets_are_ordered_and_beat_opencv(shared_data, name) -> None:
    folder, size = shared_data / "flow" / name, (224, 224)
    fast, default, best = (
        end_point_error(folder, size, preset) for preset in ("fast", "default", "best")
    )
    assert best <= 1.02 * default
    assert default < fast
    assert default < end_point_error(folder, size, "opencv_medium", "opencv")
