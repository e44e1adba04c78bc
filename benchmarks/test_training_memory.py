"""Memory of a step of one clip at full size: 224x224 pixels, 512 channels, maps of 7x7.

Words and glosses are as many as PHOENIX-2014-T has, and the text is its longest. Weights, gradients
and Adam's moments, 0.7 GB, are not in the figures. A CPU counts the tensors that are alive, a GPU
also what its allocator holds.
"""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import comparison, timing
from slt_fast.data.batching import Vocabularies
from slt_fast.data.vocabulary import GLOSS_SPECIALS, TEXT_SPECIALS, Vocabulary
from slt_fast.device import choose_device
from slt_fast.recipe import RECIPES
from slt_fast.training.blank_steps import BlankSteps
from slt_fast.training.memory import Costs, measure_costs

NUM_WORDS, NUM_GLOSSES, TEXT_LENGTH = 2887, 1085, 52
FRAMES = (16, 117, 475)  # the shortest, the mean and the longest clip of PHOENIX-2014-T
# Frames a chunk, and the longest clip that a CPU computes in a minute or two; 0 keeps everything.
LONGEST = {"frame": {0: 117, 16: 117, 32: 475, 64: 117}, "pixel": {0: 117, 32: 475}}
CASES = [
    (memory, precision, frames_per_chunk, frames)
    for memory, chunks in LONGEST.items()
    for precision in ("float32", "bfloat16")
    for frames_per_chunk, longest in chunks.items()
    for frames in FRAMES
    if frames > frames_per_chunk and (torch.cuda.is_available() or frames <= longest)
]


@functools.lru_cache(maxsize=1)
def steps_and_costs(memory: str, precision: str) -> tuple[BlankSteps, Costs]:
    recipe = RECIPES["fast"]
    model = replace(recipe.model, memory=memory)
    training = replace(recipe.training, precision=precision)
    recipe = replace(recipe, model=model, training=training)
    words = Vocabulary.build([[f"word{n}" for n in range(NUM_WORDS)]], TEXT_SPECIALS)
    glosses = Vocabulary.build([[f"GLOSS{n}" for n in range(NUM_GLOSSES)]], GLOSS_SPECIALS)
    arguments = (recipe, Vocabularies(words, glosses), TEXT_LENGTH, choose_device())
    return BlankSteps(*arguments), measure_costs(*arguments)


@pytest.mark.parametrize(("memory", "precision", "frames_per_chunk", "frames"), CASES)
def test_training_memory(
    benchmark, memory: str, precision: str, frames_per_chunk: int, frames: int
) -> None:
    steps, costs = steps_and_costs(memory, precision)
    samples: list[float] = []
    found = {}

    def step() -> None:
        found["bytes"] = steps.whole([frames], frames_per_chunk)

    benchmark.pedantic(lambda: samples.append(timing.run_calls(iter([step]), 1, steps.device)))
    predicted = costs.computing([frames], frames_per_chunk)
    kept, peak = found["bytes"]
    assert peak < 1.05 * predicted  # --memory-budget adds a tenth
    facts = {"memory": memory, "precision": precision, "frames": str(frames)}
    facts |= {"frames a chunk": str(frames_per_chunk or "all")}
    numbers = {"kept MB": kept, "peak MB": peak, "predicted MB": predicted}
    if steps.device.type == "cuda":
        numbers["allocator MB"] = timing.peak_memory(step)
    facts |= {name: f"{number / 1e6:.0f}" for name, number in numbers.items()}
    comparison.add_row(benchmark, comparison.Row("training_memory", facts, np.array(samples)))
