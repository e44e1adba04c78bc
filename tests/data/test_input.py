import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from slt_fast.data.flow_images import ENCODERS, flow_images
from slt_fast.data.input import InputConfig, blank_value, clip_images, flow_device


def moving(size=(48, 64), num_frames=4) -> torch.Tensor:
    """Texture that moves two pixels to the right in each frame."""
    H, W = size
    texture = np.random.default_rng(0).integers(0, 255, (H // 4, W // 2, 3), dtype=np.uint8)
    texture = cv2.resize(texture, (2 * W, H), interpolation=cv2.INTER_CUBIC)
    frames = np.stack([texture[:, 20 - 2 * t : 20 - 2 * t + W] for t in range(num_frames)])
    return torch.from_numpy(frames)


def test_flow_input_is_motion_in_pixels_of_the_image() -> None:
    config = InputConfig(image_size=32, flow_preset="default", flow_bound=4.0)
    images = clip_images(moving(), config)
    assert images.shape == (4, 3, 32, 32) and images.dtype == torch.float32
    assert torch.equal(images[0], blank_value(config).expand(3, 32, 32))
    # Two of 64 pixels are one of 32, a quarter of the bound; zero is 0.5 and the scale a half.
    inner = images[1:, :, 8:24, 8:24].mean((0, 2, 3))
    torch.testing.assert_close(inner, torch.tensor([0.5 + 0.125, 0.5, 0.25]), atol=0.03, rtol=0)
    expected = flow_images(moving(), size=(32, 32), bound=4.0)
    assert torch.equal(images, expected)


def test_rgb_input_is_the_frames_own_colours() -> None:
    config = InputConfig(input="rgb", image_size=32)
    frames = torch.zeros(2, 40, 50, 3, dtype=torch.uint8)
    frames[1] = torch.tensor([255, 51, 0])
    images = clip_images(frames, config)
    assert images.shape == (2, 3, 32, 32) and not images[0].any()
    torch.testing.assert_close(images[1, :, 5, 5], torch.tensor([1.0, 0.2, 0.0]))
    assert clip_images(moving(), config).max() <= 1  # overshoot


def test_colours_are_resized_part_by_part(monkeypatch) -> None:
    """To the bit as at once; colours of a long clip in float32 would not fit into the memory."""
    frames = moving(num_frames=10).repeat(4, 1, 1, 1)[:39]
    sizes = []
    interpolate = functional.interpolate

    def recorded(images: torch.Tensor, *args, **options) -> torch.Tensor:
        sizes.append(len(images))
        return interpolate(images, *args, **options)

    monkeypatch.setattr(functional, "interpolate", recorded)
    images = clip_images(frames, InputConfig(input="rgb", image_size=32))
    assert max(sizes) <= 16
    colours = frames.movedim(-1, 1).float() / 255
    whole = interpolate(colours, (32, 32), mode="bilinear", antialias=True).clamp(0, 1)
    assert torch.equal(images, whole)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_blank_is_the_colour_of_no_motion(encoder: str) -> None:
    config = InputConfig(image_size=32, flow_encoder=encoder)
    still = moving(num_frames=1).repeat(3, 1, 1, 1)
    images = clip_images(still, config)
    blank = blank_value(config)
    assert blank.shape == (3, 1, 1)
    assert torch.equal(images[0], blank.expand(3, 32, 32))
    torch.testing.assert_close(images, blank.expand(3, 3, 32, 32), atol=0.02, rtol=0)


def test_blank_of_rgb_is_black() -> None:
    assert not blank_value(InputConfig(input="rgb")).any()


def test_parameters_name_the_flow() -> None:
    found = InputConfig(flow_preset="opencv_fast").parameters()
    assert found["algorithm"] == "opencv_dis" and found["preset"] == "opencv_fast"
    assert found != InputConfig(flow_preset="best").parameters()
    assert InputConfig(input="rgb").parameters() == {}


def test_frames_too_small_for_flow() -> None:
    with pytest.raises(ValueError, match="found frames of 6x40 pixels"):
        clip_images(torch.zeros(3, 6, 40, 3, dtype=torch.uint8), InputConfig(image_size=32))


def test_only_flow_that_runs_on_the_gpu_is_made_there() -> None:
    gpu, cpu = torch.device("cuda", 1), torch.device("cpu")
    network = InputConfig(flow_preset="raft_small")
    assert flow_device(network, gpu) == gpu and flow_device(network, cpu) is None
    assert flow_device(InputConfig(flow_backend="opencv"), gpu) is None
    assert flow_device(InputConfig(input="rgb"), gpu) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input": "depth"}, r"input: found 'depth'; expected \('flow', 'rgb', 'gloss'\)"),
        ({"image_size": 31}, "image_size: found 31; expected at least 32"),
        ({"image_size": 20000}, "image_size: found 20000; expected image_size <= 2048"),
        ({"flow_encoder": "arrows"}, r"flow_encoder: found 'arrows'; expected \('uvm', "),
        ({"flow_bound": 0.0}, "flow_bound: found 0.0; expected 0 < flow_bound < inf"),
        ({"flow_bound": float("inf")}, "flow_bound: found inf; expected 0 < flow_bound < inf"),
        ({"flow_bound": float("nan")}, "flow_bound: found nan"),
        ({"flow_preset": "medium"}, "flow_preset: found 'medium'; expected one of"),
        ({"flow_backend": "farneback"}, "found backend 'farneback'; expected one of"),
        ({"flow_backend": "raft"}, "found preset 'default' with backend 'raft'; expected one of"),
    ],
)
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InputConfig(**settings)
