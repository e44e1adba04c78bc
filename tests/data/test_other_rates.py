from collections import Counter
from dataclasses import replace

import pytest
import torch

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.input import InputConfig
from slt_fast.data.loading import ClipDataset, load_images, make_images
from slt_fast.data.other_rates import NUM_CAMERAS, OtherRates
from slt_fast.data.synthetic import SyntheticSource

RATES = OtherRates(0.6, 25.0, seed=3)
FLOW = InputConfig(image_size=32, flow_preset="fast")


def clip(number: int, glosses: tuple[str, ...] | None) -> AnnotatedClip:
    source = SyntheticSource("a", ("MOTHER", "SLEEP"), "statement", number, (0, number), (48, 48))
    return AnnotatedClip(f"clip-{number}", source, "a", glosses, "x", "train", "list:1")


def epoch_of(index: int, number: int | None) -> int:
    """An epoch in which a camera films a clip."""
    return next(epoch for epoch in range(100) if RATES.choose(epoch, index) == number)


def test_the_choice_follows_from_seed_epoch_and_clip() -> None:
    def chosen(rates: OtherRates, epoch: int) -> list[int | None]:
        return [rates.choose(epoch, index) for index in range(2000)]

    first = chosen(RATES, 0)
    assert chosen(replace(RATES, rate=30.0), 0) == first
    assert chosen(RATES, 1) != first and chosen(replace(RATES, seed=4), 0) != first
    shares = {number: count / 2000 for number, count in Counter(first).items()}
    expected = {None: 0.4, 0: 0.3, 1: 0.15, 2: 0.15}
    assert shares == pytest.approx(expected, abs=0.03)
    assert set(chosen(replace(RATES, share=0.0), 0)) == {None}


@pytest.mark.parametrize("rate", [25.0, 30.0])
def test_cameras_are_relative_to_the_rate_of_the_run(rate: float) -> None:
    rates = replace(RATES, rate=rate)
    slow, near, varying = (
        [rates.camera(index, number) for index in range(300)] for number in range(NUM_CAMERAS)
    )
    for camera in slow + near:
        assert camera.slowest == camera.fastest
    factors = [camera.rate / rate for camera in slow]
    assert 0.46 <= min(factors) < 0.47 and 0.63 < max(factors) <= 0.64
    assert 100 < sum(factor == pytest.approx(0.5, abs=1e-9) for factor in factors) < 200
    factors = [camera.rate / rate for camera in near]
    assert 0.68 <= min(factors) < 0.7 and 1.55 < max(factors) <= 1.6
    assert not [factor for factor in factors if 0.96 < factor < 1.04]
    assert 70 < sum(factor == pytest.approx(1.2, abs=1e-9) for factor in factors) < 130
    assert {(camera.slowest, camera.fastest) for camera in varying} == {(rate, 2 * rate)}
    assert len({camera.seed for camera in varying}) == 300
    assert rates.camera(7, 0) == slow[7] and len({camera.rate for camera in near}) > 100


@pytest.mark.parametrize("config", [FLOW, None])
def test_clips_are_filmed_in_some_epochs(config: InputConfig | None) -> None:
    clips = [clip(number, ("A",)) for number in range(2)]
    dataset = ClipDataset(clips, config=config, other_rates=RATES)
    for index in range(2):
        own = make_images(dataset[index], FLOW)
        for number in (None, *range(NUM_CAMERAS)):
            found = make_images(dataset.in_epoch(epoch_of(index, number), index), FLOW)
            assert torch.equal(found, own) == (number is None)
            if number is not None:
                filmed = RATES.filmed(clips[index], index, number)
                assert torch.equal(found, load_images(filmed, FLOW))
    assert torch.equal(ClipDataset(clips, config=FLOW).in_epoch(0, 0), load_images(clips[0], FLOW))


def test_a_clip_that_is_too_short_when_filmed_stays_as_it_is() -> None:
    """A camera's last frame may come earlier than the clip's own."""
    length = clip(0, None).source.num_frames()
    tight = clip(0, tuple(f"G{k}" for k in range(length)))
    dataset = ClipDataset([tight] * 20, config=FLOW, other_rates=RATES)
    filmed = [RATES.filmed(tight, index, 1).source.num_frames() for index in range(20)]
    index = filmed.index(length - 1)
    found = dataset.in_epoch(epoch_of(index, 1), index)
    assert torch.equal(found, dataset[index]) and len(found) == length
