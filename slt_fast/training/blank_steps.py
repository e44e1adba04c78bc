"""Steps of blank clips that show what a step takes in memory: loss and gradients, no update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from slt_fast.checkpoint import build_network, without_weights
from slt_fast.data.batching import Batch, Vocabularies
from slt_fast.data.vocabulary import EOS, GLOSS_SPECIALS
from slt_fast.device import autocast
from slt_fast.model.batch_norm import set_training
from slt_fast.model.network import Output, TranslationNetwork
from slt_fast.recipe import Recipe
from slt_fast.training.live_tensors import LiveTensors
from slt_fast.training.losses import Counts
from slt_fast.training.ranks import Ranks
from slt_fast.training.step import Stepper

# The first call of a kernel's layout plans its launches, and holds tensors meanwhile.
_STEPS = {"cpu": 1, "cuda": 2}


class StepBytes(NamedTuple):
    """Bytes of the tensors of a step, without weights, their gradients and batch norm."""

    kept: int  # alive between the forward and the backward pass
    peak: int  # the most at a time


class BlankSteps:
    """Takes steps of blank clips with a fresh network.

    Args:
        recipe: Settings of the run.
        vocabularies: Vocabularies of the training split.
        text_length: Tokens of each text.
        device: Device of the training, as another one may keep other tensors.
    """

    def __init__(
        self, recipe: Recipe, vocabularies: Vocabularies, text_length: int, device: torch.device
    ) -> None:
        self.recipe, self.vocabularies, self.device = recipe, vocabularies, device
        self.text_length = text_length
        self.network = build_network(without_weights(recipe), vocabularies)
        self.network.to(device).use_channels_last()
        set_training(self.network, recipe.training.batch_norm)
        for parameter in self.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        with torch.no_grad(), autocast(device, recipe.training.precision):
            self._kinds = self.network.image_encoder.encode_frames(self.images(2), [2])
        after_frames = _AfterFrames(self.network, self._kinds)
        self._whole, self._after_frames = (
            Stepper(module, vocabularies, recipe.training, Ranks())
            for module in (self.network, after_frames)
        )

    def images(self, number: int) -> torch.Tensor:
        """Returns blank images as the training has them."""
        size = self.recipe.input.image_size
        return torch.zeros(number, 3, size, size, device=self.device)

    def model_bytes(self) -> int:
        """Returns the bytes of weights, gradients, Adam's moments and batch norm's statistics."""
        parts = [*self.network.parameters()] * 4 + [*self.network.buffers()]
        return sum(part.nbytes for part in parts)

    def vectors_a_frame(self) -> int:
        """Returns the vectors that a frame has in the memory."""
        _, pixels = self._kinds
        return pixels.shape[1] if len(pixels) else 1

    def whole(self, lengths: Sequence[int], frames_per_chunk: int) -> StepBytes:
        """Measures a step of clips of these lengths."""
        self.network.compute_in_chunks(frames_per_chunk)
        return self._measure(self._whole, lengths, sum(lengths))

    def after_frames(self, lengths: Sequence[int]) -> StepBytes:
        """Measures a step in chunks without what computes them: backbone and attention."""
        self.network.compute_in_chunks(1)
        return self._measure(self._after_frames, lengths, 0)

    def _measure(self, stepper: Stepper, lengths: Sequence[int], num_images: int) -> StepBytes:
        parameters = list(self.network.parameters())
        known = [*parameters, *self.network.buffers()]
        known += [part.grad for part in parameters if part.grad is not None]
        for _ in range(_STEPS[self.device.type]):
            with LiveTensors(known) as live:
                loss, _ = stepper.loss(self._batch(lengths, num_images), Counts(1, 1))
                kept = live.num_bytes
                loss.backward()
        return StepBytes(kept, live.peak)

    def _batch(self, lengths: Sequence[int], num_images: int) -> Batch:
        B, num_glosses = len(lengths), len(self.vocabularies.gloss)
        glosses = torch.full((B, 1), num_glosses - 1)
        gloss_lengths = torch.full((B,), int(num_glosses > len(GLOSS_SPECIALS)))
        text = torch.full((B, self.text_length + 2), EOS)
        images = self.images(num_images)
        return Batch((), images, torch.tensor(lengths), glosses, gloss_lengths, text)


class _AfterFrames(nn.Module):
    """The network after backbone and attention, which give zeros like these of two frames."""

    def __init__(
        self, network: TranslationNetwork, kinds: tuple[torch.Tensor, torch.Tensor]
    ) -> None:
        super().__init__()
        self.network, self.kinds = network, kinds

    def forward(self, images: torch.Tensor, lengths: torch.Tensor, text: torch.Tensor) -> Output:
        encoded = self.network.image_encoder.encode_clips(*self._zeros(int(lengths.sum())), lengths)
        logits = self.network.decode(encoded, text[:, :-1])
        return Output(encoded.gloss_logits, encoded.lengths, logits)

    def _zeros(self, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        # Copies, because a leaf would be kept.
        vectors, pixels = (
            torch.zeros_like(kind[:1]).requires_grad_().repeat(frames, *[1] * (kind.ndim - 1))
            for kind in self.kinds
        )
        return vectors, pixels
