import math

import cv2
import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.utils import flow_to_image

from slt_fast.data import flow_images as flow_image
from slt_fast.data.flow_images import (
    Frames,
    clip_flow,
    encode_flow,
    flow_images,
    flow_parts,
    motion_of,
    resize_flow,
)
from slt_fast.ops import optical_flow

ENCODERS = ("uvm", "wheel", "hsv")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
ZERO_COLOURS = {"uvm": (0.5, 0.5, 0.0), "wheel": (1.0, 1.0, 1.0), "hsv": (0.0, 0.0, 0.0)}


def uniform_flow(u: float, v: float) -> torch.Tensor:
    return torch.tensor([u, v]).view(1, 2, 1, 1).expand(1, 2, 3, 5)


def directions_and_radii(bound: float) -> torch.Tensor:
    """A map [1, 2, 33, 90] of every direction (by column) and of radii up to the bound (by row)."""
    angle = torch.linspace(-math.pi, math.pi, 91)[:-1] + 0.01
    radius = torch.linspace(0, bound, 33).unsqueeze(1)
    return torch.stack([radius * angle.cos(), radius * angle.sin()]).unsqueeze(0)


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        ((0.0, 0.0), (0.5, 0.5, 0.0)),
        ((3.0, 0.0), (0.875, 0.5, 0.75)),
        ((0.0, -2.0), (0.5, 0.25, 0.5)),
        ((1.2, 1.6), (0.65, 0.7, 0.5)),
        ((40.0, -40.0), (1.0, 0.0, 1.0)),
    ],
)
def test_uvm_holds_both_components_and_the_magnitude(flow, expected) -> None:
    image = encode_flow(uniform_flow(*flow), encoder="uvm", bound=4.0)
    wanted = torch.tensor(expected).view(1, 3, 1, 1).expand(1, 3, 3, 5)
    torch.testing.assert_close(image, wanted)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("device", DEVICES)
def test_encoders_on_every_device(encoder: str, device: str) -> None:
    flow = torch.randn(4, 2, 9, 7) * 3
    images = encode_flow(flow.to(device), encoder=encoder, bound=4.0)
    assert images.device.type == device
    expected = encode_flow(flow.double(), encoder=encoder, bound=4.0)
    torch.testing.assert_close(images.cpu().double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_no_tensor_is_left_on_the_cpu(encoder: str) -> None:
    """Told without a GPU: torch's fake tensors have a device, and refuse to mix two."""
    with FakeTensorMode():
        flow = resize_flow(torch.empty(4, 2, 9, 7, device="cuda"), (6, 5))
        images = flow_image.ENCODERS[encoder](flow)
    assert images.device.type == "cuda" and images.shape == (4, 3, 6, 5)


def test_wheel_agrees_with_torchvision() -> None:
    flow = directions_and_radii(bound=6.0)
    # torchvision divides by the map's largest radius, here the bound, and rounds down twice.
    expected = flow_to_image(flow).float() / 255
    image = encode_flow(flow, encoder="wheel", bound=6.0)
    torch.testing.assert_close(image, expected, atol=2 / 255, rtol=0)


def test_hsv_agrees_with_opencv() -> None:
    flow = directions_and_radii(bound=6.0)
    u, v = flow[0].double().numpy()
    hue = np.degrees(np.arctan2(v, u)) % 360
    hsv = np.stack([hue, np.ones_like(hue), np.hypot(u, v) / 6], axis=-1).astype(np.float32)
    expected = torch.from_numpy(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)).permute(2, 0, 1)
    image = encode_flow(flow, encoder="hsv", bound=6.0)
    torch.testing.assert_close(image[0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_colours_depend_on_the_pixel_alone(encoder) -> None:
    flow = torch.randn(4, 2, 9, 7) * 3
    flow[:, :, 0, 0] = 0
    together = encode_flow(flow, encoder=encoder, bound=4.0)
    assert together.shape == (4, 3, 9, 7)
    assert together.dtype == torch.float32
    assert together.min() >= 0
    assert together.max() <= 1
    zero = torch.tensor(ZERO_COLOURS[encoder]).expand(4, 3)
    torch.testing.assert_close(together[:, :, 0, 0], zero)
    alone = torch.cat([encode_flow(frame, encoder=encoder, bound=4.0) for frame in flow.split(1)])
    assert torch.equal(together, alone)
    # One far larger motion elsewhere changes nothing.
    flow[:, :, 1, 1] = 1000
    again = encode_flow(flow, encoder=encoder, bound=4.0)
    unchanged = torch.ones(9, 7, dtype=torch.bool)
    unchanged[1, 1] = False
    assert torch.equal(together[..., unchanged], again[..., unchanged])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_motion_beyond_the_bound_saturates(encoder) -> None:
    at_bound = encode_flow(uniform_flow(4.0, 0.0), encoder=encoder, bound=4.0)
    beyond = encode_flow(uniform_flow(9.0, 0.0), encoder=encoder, bound=4.0)
    torch.testing.assert_close(at_bound, beyond)


@pytest.mark.parametrize("size", [(21, 26), (105, 130), (37, 61)])
@pytest.mark.parametrize("device", DEVICES)
def test_resize_on_every_device(device: str, size: tuple[int, int]) -> None:
    flow = torch.randn(2, 2, 42, 52)
    resized = resize_flow(flow.to(device), size)
    assert resized.device.type == device
    torch.testing.assert_close(
        resized.cpu().double(), resize_flow(flow.double(), size), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("size", [(21, 26), (42, 26), (105, 130), (37, 61), (84, 104)])
def test_resize_scales_the_motion_with_the_image(size) -> None:
    flow = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(2, 2, 42, 52)
    resized = resize_flow(flow, size)
    assert resized.shape == (2, 2, *size)
    u, v = 3.0 * size[1] / 52, -2.0 * size[0] / 42
    torch.testing.assert_close(resized[:, 0], torch.full((2, *size), u))
    torch.testing.assert_close(resized[:, 1], torch.full((2, *size), v))


def test_resize_interpolates_bilinearly() -> None:
    # A linear field stays one: pixel centres of the larger image lie at (x + 0.5) / 2 - 0.5.
    x = torch.arange(8.0).expand(1, 8, 8)
    flow = torch.stack([x, torch.zeros_like(x)], dim=1)
    resized = resize_flow(flow, (8, 16))
    centres = (torch.arange(16) + 0.5) / 2 - 0.5
    torch.testing.assert_close(resized[0, 0, 3], 2 * centres.clamp(0, 7))


def test_flow_images_start_with_zero_flow_and_follow_the_motion(shifted_clip) -> None:
    images = flow_images(shifted_clip, size=(28, 32), bound=4.0)
    assert images.shape == (len(shifted_clip), 3, 28, 32)
    zero = torch.tensor(ZERO_COLOURS["uvm"]).view(3, 1, 1).expand(3, 28, 32)
    assert torch.equal(images[0], zero)
    expected = encode_flow(resize_flow(optical_flow(shifted_clip), (28, 32)), bound=4.0)
    assert torch.equal(images[1:], expected)
    flow = clip_flow(shifted_clip, size=(28, 32))
    assert flow.shape == (len(shifted_clip), 2, 28, 32) and not flow[0].any()
    assert torch.equal(encode_flow(flow, bound=4.0), images)
    # Two pixels to the right of 64 columns are one of 32, a quarter of the bound.
    assert images[1:, 0].median() == pytest.approx(0.625, abs=0.02)


@pytest.mark.parametrize("num_frames", [16, 17, 18, 33, 40])
@pytest.mark.parametrize("num_pairs", [16, 0.5])
def test_flow_is_computed_part_by_part(shifted_clip, monkeypatch, num_frames, num_pairs) -> None:
    """To the bit as at once; the flow of a long clip at its own size would not fit in memory.

    As many pairs at a time as the bound on pixels holds, and one of frames that are larger.
    """
    bound = int(num_pairs * shifted_clip[0].numel())
    monkeypatch.setattr("slt_fast.data.flow_images._PIXELS_AT_ONCE", bound)
    frames = shifted_clip.repeat(10, 1, 1)[:num_frames]
    sizes = []

    def recorded(part: torch.Tensor, **options) -> torch.Tensor:
        sizes.append(len(part))
        return optical_flow(part, **options)

    monkeypatch.setattr("slt_fast.data.flow_images.optical_flow", recorded)
    images = flow_images(frames, size=(28, 32), bound=4.0, preset="fast")
    assert max(sizes) == min(num_frames, max(1, int(num_pairs)) + 1)
    assert sum(sizes) - len(sizes) == num_frames - 1
    whole = optical_flow(frames, preset="fast")
    assert torch.equal(images[1:], encode_flow(resize_flow(whole, (28, 32)), bound=4.0))


def test_repeated_frames_share_the_motion_to_the_next(shifted_clip) -> None:
    flow = clip_flow(shifted_clip, size=(28, 32), preset="fast")
    parts = [(shifted_clip[:2], [1, 3]), (shifted_clip[2:], [6, 2]), (shifted_clip[-1:], [2])]
    frames = [Frames(distinct, torch.tensor(steps)) for distinct, steps in parts]
    found = torch.cat(list(flow_parts(frames, size=(28, 32), preset="fast")))
    zero = torch.zeros_like(flow[:1])
    expected = [zero, *3 * [flow[1:2] / 3]]
    expected += [*2 * [zero], *4 * [flow[2:3] / 4]]  # a pause in which nothing moves
    expected += [*2 * [flow[3:4] / 2], *2 * [zero]]
    assert len(found) == sum(map(len, frames)) == 14
    torch.testing.assert_close(found, torch.cat(expected))


@pytest.fixture
def shifted_clip() -> torch.Tensor:
    """A texture [4, 56, 64] that moves two pixels to the right with each frame."""
    noise = np.random.default_rng(0).integers(0, 256, (56, 80), dtype=np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 2)
    return torch.from_numpy(np.stack([texture[:, 8 - 2 * t : 72 - 2 * t] for t in range(4)]))


@pytest.mark.parametrize("shape", [(1, 30, 40), (1, 30, 40, 3), (1, 4, 4)])
def test_a_single_frame_shows_zero_flow(shape) -> None:
    images = flow_images(torch.zeros(shape, dtype=torch.uint8), size=(7, 9), bound=1.0)
    assert torch.equal(images, encode_flow(torch.zeros(1, 2, 7, 9), bound=1.0))


def test_bad_input_is_named() -> None:
    flow = torch.zeros(3, 2, 4, 4)
    with pytest.raises(ValueError, match=r"encode_flow: found flow of \[3, 3, 4, 4\]"):
        encode_flow(torch.zeros(3, 3, 4, 4), bound=1.0)
    with pytest.raises(ValueError, match="found encoder 'hue'; expected one of"):
        encode_flow(flow, encoder="hue", bound=1.0)
    for bound in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"found bound {bound}"):
            encode_flow(flow, bound=bound)
    for value in (math.nan, math.inf):
        flow[1, 0, 2, 3] = value
        with pytest.raises(ValueError, match="NaN or infinity in the flow of frame 1"):
            encode_flow(flow, bound=1.0)
    with pytest.raises(ValueError, match="clip_flow: found 0 frames"):
        flow_images(torch.zeros(0, 8, 12, dtype=torch.uint8), size=(4, 4), bound=1.0)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_length_of_the_motion_is_read_back(encoder: str) -> None:
    flow = torch.randn(3, 2, 9, 11, generator=torch.Generator().manual_seed(0)) * 2
    flow[0] = 0
    motion = motion_of(encode_flow(flow, encoder=encoder, bound=3.0), encoder=encoder)
    expected = (flow.norm(dim=1) / 3).clamp(max=1)
    torch.testing.assert_close(motion, expected, atol=1e-5, rtol=0)
    assert (motion[0] == 0).all() and (motion == 1).any()
