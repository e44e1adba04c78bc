"""The images that OpenCV makes are close to the package's."""

import numpy as np
import pytest
import torch

from slt_fast.data.flow_images import flow_images as package_flow_images
from slt_fast.data.input import InputConfig, clip_images
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.export import images
from slt_fast.ops.optical_flow.presets import OPENCV_COUNTERPARTS, OPENCV_PRESETS

FRAMES = np.stack(
    list(SyntheticSource("", ("DOG", "RED", "SEE"), "question", 1, (0, 0), (96, 128)).read())
)[:12]
FACTS = {
    "opencv": vars(OPENCV_COUNTERPARTS["default"]),
    "image_size": 48,
    "flow_encoder": "uvm",
    "flow_bound": 2.0,
    "flow": {"preset": "default"},
}


def bgr() -> list[np.ndarray]:
    return [frame[..., ::-1].copy() for frame in FRAMES]


def test_flow_of_opencvs_presets_is_the_packages_but_for_its_resizing() -> None:
    facts = FACTS | {"opencv": vars(OPENCV_PRESETS["opencv_medium"])}
    found = images.flow_images(bgr(), facts)
    expected = package_flow_images(
        torch.from_numpy(FRAMES), size=(48, 48), bound=2.0, preset="opencv_medium"
    ).numpy()
    assert found.shape == expected.shape == (12, 3, 48, 48) and found.dtype == np.float32
    assert (found[0, :2] == 0.5).all() and (found[0, 2] == 0).all()
    for channel in range(3):
        pair = np.stack([found[:, channel].ravel(), expected[:, channel].ravel()])
        assert np.corrcoef(pair)[0, 1] > 0.97


def test_colours_are_close_to_the_packages() -> None:
    found = images.rgb_images(bgr(), 48)
    config = InputConfig(input="rgb", image_size=48)
    expected = clip_images(torch.from_numpy(FRAMES), config).numpy()
    assert found.shape == expected.shape and found.dtype == np.float32
    assert np.abs(found - expected).mean() < 0.01
    swapped = np.abs(found[:, ::-1] - expected).mean()
    assert swapped > 2 * np.abs(found - expected).mean(), "the order of the colours"


@pytest.mark.parametrize("change", [{"opencv": None}, {"flow_encoder": "hsv"}])
def test_flow_that_opencv_has_nothing_like_is_refused(change) -> None:
    with pytest.raises(SystemExit, match="expected uvm, and a preset that OpenCV is close to"):
        images.flow_images(bgr(), FACTS | change)


def test_a_video_that_cannot_be_read_is_refused(tmp_path) -> None:
    with pytest.raises(SystemExit, match="found no frames"):
        images.read_frames(str(tmp_path / "missing.mp4"), 25.0)
