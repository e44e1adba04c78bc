"""Images of a stream, which are those of the whole clip to the bit."""

from dataclasses import replace

import pytest
import torch

from slt_fast.data.clip import Clip
from slt_fast.data.input import InputConfig
from slt_fast.data.loading import load_images
from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.timed_images import timed_images

FLOW = InputConfig(image_size=32)


@pytest.fixture(scope="module")
def source():
    return replace(read_synthetic("dev")[0].source, size=(64, 56))


@pytest.mark.parametrize("at_once", [1, 2, 5, None])
@pytest.mark.parametrize("config", [FLOW, replace(FLOW, input="rgb")], ids=["flow", "rgb"])
def test_images_are_those_of_the_clip(source, config: InputConfig, at_once: int | None) -> None:
    whole = load_images(Clip("clip", source), config)
    frames = list(source.frames())
    times = [number / 25 for number in range(len(frames))]
    found = list(timed_images(zip(times, frames, strict=True), config, at_once=at_once))
    assert [one.seconds for one in found] == times
    assert torch.equal(torch.stack([one.image for one in found]), whole)
    assert all(0 <= one.motion <= 1 for one in found)
    assert found[0].motion == 0 and max(one.motion for one in found) > 0.1
