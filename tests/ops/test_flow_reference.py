"""The flow in plain PyTorch, alone and against the extension."""

import pytest
import torch

from benchmarks.flow_pairs import PAIRS, load_pair
from slt_fast.ops import optical_flow
from slt_fast.ops.optical_flow import flow_parameters, reference
from slt_fast.ops.optical_flow.presets import DISVR_PRESETS, DisvrParameters
from slt_fast.ops.optical_flow.reference import disvr_reference

SIZES = [(8, 8), (8, 100), (9, 13), (13, 9), (17, 33), (40, 70), (65, 63)]


def moving_clip(T: int, H: int, W: int) -> torch.Tensor:
    """Grey frames [T, H, W] of smooth noise that moves by 1.4 and -0.8 pixels a frame."""
    generator = torch.Generator().manual_seed(H * W)
    waves = torch.rand(4, 24, generator=generator)
    y, x = torch.meshgrid(torch.arange(float(H)), torch.arange(float(W)), indexing="ij")
    frames = []
    for t in range(T):
        phase = 0.7 * (
            (waves[0] - 0.5) * (x - 1.4 * t)[..., None]
            + (waves[1] - 0.5) * (y + 0.8 * t)[..., None]
        )
        frames.append((torch.sin(phase + 6.3 * waves[2]) * waves[3]).sum(-1))
    clip = torch.stack(frames)
    return ((clip - clip.min()) / (clip.max() - clip.min()) * 255).byte()


def assert_same_flow(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Uses percentiles, because a few patches without texture react strongly to rounding."""
    difference = (found - expected).abs()
    assert difference.median() <= 1e-4
    assert difference.quantile(0.99) <= 1e-2


@pytest.mark.parametrize(
    ("preset", "H", "W"),
    [("default", *size) for size in SIZES] + [("fast", 40, 70), ("fast", 9, 13), ("best", 17, 33)],
)
def test_extension_computes_the_same(preset, H, W) -> None:
    frames = moving_clip(3, H, W)
    found = optical_flow(frames, preset=preset, backend="cpu")
    assert found.abs().max() > 0.3
    assert_same_flow(found, optical_flow(frames, preset=preset, backend="reference"))


@pytest.mark.parametrize(
    "preset",
    ["default", *(pytest.param(name, marks=pytest.mark.slow) for name in ("fast", "best"))],
)
@pytest.mark.parametrize("name", PAIRS)
def test_extension_computes_the_same_on_real_pairs(shared_data, preset, name) -> None:
    pair = load_pair(shared_data / "flow" / name, (224, 224))
    frames = torch.from_numpy(pair.frames)
    found = optical_flow(frames, preset=preset, backend="cpu")
    expected = optical_flow(frames, preset=preset, backend="reference")
    assert_same_flow(found, expected)
    errors = [pair.end_point_error(flow[0].numpy()) for flow in (found, expected)]
    assert errors[0] == pytest.approx(errors[1], abs=1e-3)


@pytest.mark.parametrize("stride", range(1, 9))
def test_extension_computes_the_same_with_any_stride(stride) -> None:
    frames = moving_clip(2, 37, 43)
    for settings in ((0, stride, 3, 1, 1, 2), (2, stride, 0, 2, 3, 1), (9, stride, 5, 0, 1, 1)):
        found = torch.ops.slt_fast.disvr(frames, *settings)
        assert_same_flow(found, disvr_reference(frames, DisvrParameters(*settings)))


@pytest.mark.parametrize("preset", DISVR_PRESETS)
def test_double_precision_changes_little(preset) -> None:
    frames = moving_clip(2, 40, 70)
    exact = disvr_reference(frames, DISVR_PRESETS[preset], torch.float64)
    assert exact.dtype == torch.float64
    for backend in ("cpu", "reference"):
        assert_same_flow(optical_flow(frames, preset=preset, backend=backend), exact)


def test_finds_a_known_motion() -> None:
    flow = disvr_reference(moving_clip(2, 64, 64), DISVR_PRESETS["default"], torch.float64)[0]
    assert flow[0].median() == pytest.approx(1.4, abs=0.02)
    assert flow[1].median() == pytest.approx(-0.8, abs=0.02)


@pytest.mark.parametrize("pairs_at_once", [1, 3, 100])
def test_a_pair_is_independent_of_its_clip(monkeypatch, pairs_at_once) -> None:
    frames = moving_clip(6, 17, 33)
    monkeypatch.setattr(reference, "PIXELS_AT_ONCE", pairs_at_once * 17 * 33)
    together = optical_flow(frames, backend="reference")
    assert together.shape == (5, 2, 17, 33)
    for t in range(5):
        alone = optical_flow(frames[t : t + 2], backend="reference")
        assert torch.equal(together[t], alone[0])


def test_colour_and_strides() -> None:
    frames = moving_clip(2, 24, 40)
    expected = optical_flow(frames, backend="reference")
    colour = frames[..., None].expand(-1, -1, -1, 3)
    assert torch.equal(optical_flow(colour, backend="reference"), expected)
    strided = frames.mT.contiguous().mT
    assert torch.equal(optical_flow(strided, backend="reference"), expected)


@pytest.mark.parametrize("value", [0, 255])
def test_plain_frames_have_no_flow(value) -> None:
    frames = torch.full((2, 33, 29), value, dtype=torch.uint8)
    assert not optical_flow(frames, backend="reference").any()


def test_parameters_are_those_of_the_extension() -> None:
    for preset in DISVR_PRESETS:
        assert flow_parameters(preset, "reference") == flow_parameters(preset, "cpu")


def test_presets_of_opencv_are_refused() -> None:
    message = "found preset 'opencv_fast' with backend 'reference'; expected one of"
    with pytest.raises(ValueError, match=message):
        optical_flow(moving_clip(2, 16, 16), preset="opencv_fast", backend="reference")
    with pytest.raises(ValueError, match=message):
        flow_parameters("opencv_fast", "reference")


@pytest.mark.gpu
def test_runs_on_the_device_of_the_frames() -> None:
    frames = moving_clip(3, 40, 70)
    flow = optical_flow(frames.cuda(), backend="reference")
    assert flow.is_cuda
    assert_same_flow(flow.cpu(), optical_flow(frames, backend="reference"))
