import pytest
import torch

from slt_fast.data.augmentation import AugmentationConfig, augment
from slt_fast.data.flow_images import encode_flow
from slt_fast.data.input import InputConfig, blank_value

FLOW, RGB = InputConfig(image_size=32), InputConfig(input="rgb", image_size=32)
WHEEL = InputConfig(image_size=32, flow_encoder="wheel")
ALL = AugmentationConfig(zoom=0.2, shift=0.1, vigour=0.2, frame_dropout=0.3)


def changed(images, config, input_config=FLOW, *, minimum_frames=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return augment(images, config, input_config, minimum_frames=minimum_frames, generator=generator)


def spot(centre=(16, 16), value=(0.3, -0.2), size=4) -> torch.Tensor:
    """Flow images [1, 3, 32, 32] of one moving square, whose motion is far from saturation."""
    flow = torch.zeros(1, 2, 32, 32)
    rows, columns = (slice(middle - size, middle + size) for middle in centre)
    flow[:, :, rows, columns] = torch.tensor(value).view(2, 1, 1)
    return encode_flow(flow, bound=1.0)


def centre(images: torch.Tensor) -> torch.Tensor:
    """Mean row and column of the motion, in shares of the image."""
    weight = images[0, 2] / images[0, 2].sum()
    places = (torch.arange(32) + 0.5) / 32
    return torch.stack([(weight.sum(1) * places).sum(), (weight.sum(0) * places).sum()])


@pytest.mark.parametrize("input_config", [FLOW, RGB, WHEEL])
def test_nothing_changes_without_ranges(input_config) -> None:
    images = torch.rand(5, 3, 32, 32)
    torch.testing.assert_close(changed(images, AugmentationConfig(), input_config), images)


@pytest.mark.parametrize("input_config", [FLOW, RGB, WHEEL])
@pytest.mark.parametrize("seed", range(5))
def test_stillness_stays_still(input_config, seed) -> None:
    images = blank_value(input_config).expand(6, 3, 32, 32)
    result = changed(images, ALL, input_config, seed=seed)
    torch.testing.assert_close(result, images[: len(result)])


def test_follows_the_generator() -> None:
    images = torch.rand(9, 3, 32, 32)
    assert torch.equal(changed(images, ALL, seed=3), changed(images, ALL, seed=3))
    first, second = (changed(images, ALL, RGB, seed=seed) for seed in (3, 4))
    assert first.shape != second.shape or not torch.equal(first, second)


def test_one_range_does_not_change_what_the_others_draw() -> None:
    shifted = AugmentationConfig(shift=0.1)
    both = AugmentationConfig(shift=0.1, vigour=0.2)
    first, second = (changed(spot(), config, seed=5) for config in (shifted, both))
    torch.testing.assert_close(centre(first), centre(second))


def test_all_frames_change_alike_and_the_original_stays() -> None:
    images = spot().expand(4, 3, 32, 32).contiguous()
    kept = images.clone()
    result = changed(images, AugmentationConfig(zoom=0.2, shift=0.1, vigour=0.2))
    assert torch.equal(images, kept)
    assert all(torch.equal(frame, result[0]) for frame in result)
    assert result.min() >= 0 and result.max() <= 1


def test_zoom_moves_as_much_faster_as_it_is_larger() -> None:
    for seed in range(6):
        result = changed(spot(), AugmentationConfig(zoom=0.3), seed=seed)
        factor = float(result[0, 2].max() / spot()[0, 2].max())
        assert 1 / 1.31 < factor < 1.31
        area = float((result[0, 2] > 0.5 * result[0, 2].max()).sum()) / 64
        assert area**0.5 == pytest.approx(factor, abs=0.13)
        # Direction is kept: u and v grow alike.
        u, v = (result[0, :2, 16, 16] - 0.5).tolist()
        assert u / v == pytest.approx(0.3 / -0.2, rel=1e-3)


def test_shift_stays_within_its_range() -> None:
    places = torch.stack(
        [centre(changed(spot(), AugmentationConfig(shift=0.1), seed=seed)) for seed in range(40)]
    )
    moved = places - centre(spot())
    assert moved.abs().max() < 0.105
    assert moved.max() > 0.05 and moved.min() < -0.05


def test_vigour_scales_the_motion_alone() -> None:
    before, factors = spot() - blank_value(FLOW), []
    for seed in range(20):
        after = changed(spot(), AugmentationConfig(vigour=0.25), seed=seed) - blank_value(FLOW)
        factors.append(float(after[0, 2, 16, 16] / before[0, 2, 16, 16]))
        torch.testing.assert_close(after, before * factors[-1])
    assert 1 / 1.251 < min(factors) < 0.95 and 1.05 < max(factors) < 1.251


@pytest.mark.parametrize("input_config", [RGB, WHEEL])
def test_vigour_is_for_uvm_flow_only(input_config) -> None:
    images = torch.rand(3, 3, 32, 32)
    result = changed(images, AugmentationConfig(vigour=0.5), input_config)
    torch.testing.assert_close(result, images)


def test_frame_dropout_keeps_order_and_what_ctc_needs() -> None:
    images = torch.linspace(0, 1, 20).view(20, 1, 1, 1).expand(20, 3, 32, 32)
    config, lengths = AugmentationConfig(frame_dropout=0.3), set()
    for seed in range(30):
        result = changed(images, config, RGB, minimum_frames=15, seed=seed)
        lengths.add(len(result))
        assert (result[:, 0, 0, 0].diff() > 0).all()
    assert min(lengths) >= 15 and len(lengths) > 2


def test_a_clip_that_is_all_dropped_stays_whole() -> None:
    config = AugmentationConfig(frame_dropout=0.99)
    assert len(changed(torch.rand(2, 3, 32, 32), config, minimum_frames=0)) == 2


@pytest.mark.parametrize("name", ["zoom", "shift", "vigour", "frame_dropout", "other_rates"])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_bad_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name}: found {value}; expected 0 <= {name} < 1"):
        AugmentationConfig(**{name: value})
