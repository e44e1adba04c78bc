"""End-point errors on pairs with ground truth, as the algorithm's author measured them."""

import cv2
import numpy as np
import pytest
import torch

from slt_fast.data.flow_file import read_flow
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


def load_pair(folder) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Grey frames, true flow [H, W, 2], and where it is known."""
    if folder.parent.name == "middlebury":
        names, flow_name = ("frame10.png", "frame11.png"), "flow10.flo"
    else:
        names, flow_name = ("final_frame_0002.png", "final_frame_0003.png"), "flow_0002.flo"
    frames = [cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE) for name in names]
    flow = read_flow(folder / flow_name).transpose(1, 2, 0)
    known = (np.abs(flow) < 1e9).all(-1)
    if folder.parent.name == "sintel":
        known &= cv2.imread(str(folder / "invalid_0002.png"), cv2.IMREAD_GRAYSCALE) == 0
    return frames, flow, known


def end_point_error(folder, size: tuple[int, int] | None, preset: str) -> float:
    frames, truth, known = load_pair(folder)
    if size is not None:
        H, W = known.shape
        frames = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
        truth = cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST)
        truth = truth * [size[0] / W, size[1] / H]
        known = cv2.resize(known.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    flow = optical_flow(torch.from_numpy(np.stack(frames)), preset=preset)[0]
    error = np.linalg.norm(flow.permute(1, 2, 0).numpy() - truth, axis=-1)
    return float(error[known].mean())


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
    assert default < end_point_error(folder, size, "opencv_medium")
