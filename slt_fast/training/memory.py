"""What training takes in memory, measured on short steps of the real network.

A step holds clips, their frames, and the activations of a chunk of frames. Its bytes are linear in
these numbers, so short steps give the slopes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from slt_fast.data.batching import Vocabularies
from slt_fast.recipe import Recipe
from slt_fast.training.blank_steps import BlankSteps

# So many pixels of images, and vectors of a memory, take more than what their number is no matter
# for: then the peaks of more of them are on one line.
_PIXELS, _VECTORS = 100_000, 2048
# Most float32 images for each frame of a clip while a GPU makes and augments them.
IMAGES_IN_THE_MAKING = 4


@dataclass(frozen=True)
class Costs:
    """Bytes of the tensors of a training.

    Args:
        model: Weights, gradients, Adam's moments, and statistics of batch norm.
        step: A step without frames: weights in half precision, gradients on their way.
        clip: A clip more that is computed at once with others, of the longest text.
        row: A frame more in the padded memory of the clips that are computed at once.
        image: An image more, float32.
        activations: A frame more in a chunk, with the gradients of its activations.
        makes_ahead: Whether the next images are made while a step is computed.
    """

    model: int
    step: int
    clip: int
    row: int
    image: int
    activations: int
    makes_ahead: bool = False

    def at_once(self, lengths: Sequence[int], frames_per_chunk: int) -> int:
        """Returns the bytes for clips that are computed at once.

        Args:
            lengths: Frames of each clip.
            frames_per_chunk: As in TrainingConfig.
        """
        computing, images = self.computing(lengths, frames_per_chunk), self.image * sum(lengths)
        # The next images, which are joined when they are made, beside those of before.
        longest = (IMAGES_IN_THE_MAKING - 1) * self.image * max(lengths)
        making = images + max(images, longest)
        if self.makes_ahead:
            return self.model + computing + making
        return self.model + max(computing, images + making)

    def computing(self, lengths: Sequence[int], frames_per_chunk: int) -> int:
        """Returns the bytes of a step of these clips, without the model and the next images."""
        frames, rows = sum(lengths), len(lengths) * max(lengths)
        num_chunks = math.ceil(frames / (frames_per_chunk or frames))
        activations = self.activations * math.ceil(frames / num_chunks)
        clips = self.clip * len(lengths) + self.row * rows + self.image * frames
        return self.step + clips + activations


def measure_costs(
    recipe: Recipe, vocabularies: Vocabularies, text_length: int, device: torch.device
) -> Costs:
    """Takes a few short steps; arguments as for BlankSteps, with the longest text."""
    steps = BlankSteps(recipe, vocabularies, text_length, device)
    chunk = math.ceil(_PIXELS / recipe.input.image_size**2)
    # Several chunks, because backward passes add up the gradients of all.
    short, fine, coarse = (
        steps.whole([frames * chunk], size * chunk).peak
        for frames, size in ((2, 1), (4, 1), (4, 2))
    )
    activations, shorter = (coarse - fine) // chunk, fine - short
    rows = math.ceil(_VECTORS / steps.vectors_a_frame())
    lengths = ([rows], [2 * rows], [rows, rows])
    once, twice, both = (steps.after_frames(each).peak for each in lengths)
    row, clip = (twice - once) // rows, both - twice
    step = max(0, short - shorter - chunk * activations + once - rows * row - clip)
    image, makes_ahead = steps.images(1).nbytes, device.type == "cuda"  # see data/ahead.py
    return Costs(steps.model_bytes(), step, clip, row, image, activations, makes_ahead)
