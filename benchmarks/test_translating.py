"""Translation of a video or a stream, flow included, with an untrained network of the quickstart.

On two cores a stream has to be translated at twice the speed at which it is shown, or faster; on a
GPU 100 frames in 150 ms. The network says as much as its search allows, which is the slowest case.
"""

import time

import pytest
import torch

from benchmarks import comparison
from slt_fast.checkpoint import TrainedModel, TrainedOn, build_network
from slt_fast.data.batching import Vocabularies
from slt_fast.data.sources import read_split
from slt_fast.data.synthetic.corpus import FRAME_RATE
from slt_fast.data.synthetic.talk import Talk
from slt_fast.inference.translator import Translator
from slt_fast.recipe import RECIPES

_SHORT = 100  # frames
_LEAST_SPEED = 2.0  # seconds of video a second
_GPU_SECONDS = 0.15  # of the short clip


@pytest.fixture(scope="module")
def translator() -> Translator:
    recipe = RECIPES["quickstart"]
    words = Vocabularies.build(read_split("synthetic", "train"))
    network = build_network(recipe, words).eval().to(comparison.DEVICE)
    trained_on = TrainedOn("synthetic", "train", "dev", "test", "0" * 64, False)
    return Translator(TrainedModel(network, recipe, words, trained_on), fps=FRAME_RATE)


@pytest.mark.parametrize("num_frames", [_SHORT, None], ids=["100 frames", "a talk"])
def test_stream(benchmark, translator: Translator, num_frames: int | None) -> None:
    pictures = list(Talk("test-00000", 4).frames())[:num_frames]
    frames = [(number / FRAME_RATE, frame) for number, frame in enumerate(pictures)]
    samples: list[float] = []

    def run() -> None:
        started = time.perf_counter()
        assert list(translator.stream(frames, frame_rate=FRAME_RATE))
        samples.append(time.perf_counter() - started)

    run()  # the warm-up
    benchmark.pedantic(run, rounds=5)
    seconds = len(frames) / FRAME_RATE
    speed = seconds / float(torch.tensor(samples[1:]).median())
    facts = {
        "size": f"{len(frames)} frames of {pictures[0].shape[1]}x{pictures[0].shape[0]}",
        "device": comparison.DEVICE,
        "times real time": f"{speed:.1f}",
    }
    comparison.add_row(
        benchmark, comparison.Row("translating", facts, torch.tensor(samples[1:]).numpy())
    )
    if comparison.DEVICE == "cpu":
        assert speed >= _LEAST_SPEED
    elif num_frames == _SHORT:
        assert min(samples) <= _GPU_SECONDS
