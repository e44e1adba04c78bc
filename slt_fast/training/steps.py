"""The steps of a training: which clips each of them computes."""

from collections.abc import Sequence
from functools import cached_property

import torch

from slt_fast.data.packing import in_groups, packed, seeded_generator, steps_of_like_length
from slt_fast.recipe import TrainingConfig


class Steps:
    """The steps of each epoch, the same on every machine and in every run of these settings.

    Args:
        frames: Frames of each clip of the training split.
        settings: Settings of the training.
    """

    def __init__(self, frames: Sequence[int], settings: TrainingConfig) -> None:
        self.frames, self.settings = frames, settings

    def of_epoch(self, epoch: int) -> list[list[int]]:
        """Returns the numbers of the clips of each step: each clip is in one of them."""
        settings, generator = self.settings, seeded_generator(self.settings.seed, epoch)
        if settings.frames_per_step:
            return steps_of_like_length(self.frames, settings.frames_per_step, generator)
        order = torch.randperm(len(self.frames), generator=generator).tolist()
        return in_groups(order, settings.batch_size)

    @cached_property
    def total(self) -> int:
        """Steps of all epochs."""
        return sum(len(self.of_epoch(epoch)) for epoch in range(self.settings.epochs))

    def parts(self, clips: Sequence[int]) -> list[list[int]]:
        """Divides clips of a step into those that are computed at once."""
        if not self.settings.frames_at_once:
            return [list(clips)]
        return packed(clips, self.frames, self.settings.frames_at_once)
