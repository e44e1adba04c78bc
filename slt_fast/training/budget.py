"""Chooses how many frames are computed at once, so that training stays within a memory budget."""

from __future__ import annotations

import logging
from bisect import bisect_right
from dataclasses import dataclass, replace

from slt_fast.data.batching import Vocabularies
from slt_fast.data.loading import ClipDataset
from slt_fast.data.packing import shares
from slt_fast.device import choose_device
from slt_fast.errors import UserError
from slt_fast.recipe import Recipe, TrainingConfig
from slt_fast.settings import format_bytes, parse_bytes
from slt_fast.training.memory import Costs, measure_costs
from slt_fast.training.ranks import Ranks
from slt_fast.training.resuming import has_checkpoint_to_resume
from slt_fast.training.run import RunConfig
from slt_fast.training.steps import Steps

logger = logging.getLogger(__name__)

# Chunks are multiples of it: batch norm over fewer frames of one clip says little (assumed).
_CHUNK = 8
# What is no tensor of a step (assumed): the driver's context (0.3 to 0.5 GB), workspaces of cuDNN,
# cuBLAS and the optical flow (0.16 GB), buffers of NCCL; on a CPU the program itself (0.8 GB).
_PROGRAM = 10**9
# Bytes that torch's allocator holds for each byte of a tensor (assumed): its blocks are larger than
# what is asked for, and gaps stay between them.
_HELD = 1.1


def within_budget(
    recipe: Recipe, run: RunConfig, train_set: ClipDataset, ranks: Ranks | None = None
) -> Recipe:
    """Returns the recipe with the most frames at once that a run's memory budget allows.

    What the recipe has of `frames_per_chunk` and `frames_at_once` is kept, and both are if the run
    is resumed. Without a budget the recipe stays as it is.

    Raises:
        UserError: The clips do not fit.
    """
    if run.memory_budget is None:
        return recipe
    settings, ranks = recipe.training, ranks or Ranks()
    budget = parse_bytes("memory_budget", run.memory_budget)
    needs = Needs.of_run(recipe, train_set, ranks.number)
    chosen = settings
    if not has_checkpoint_to_resume(run):
        sizes = range(_CHUNK, needs.largest_step() + _CHUNK, _CHUNK)
        fitting = bisect_right(
            sizes, budget, key=lambda size: needs.of(_with_frames(settings, size)).num_bytes
        )
        chosen = _with_frames(settings, sizes[max(fitting - 1, 0)])
    need = needs.of(chosen)
    if need.num_bytes > budget:
        expected = f"expected at most the --memory-budget of {format_bytes(budget)}"
        raise UserError(f"clips {', '.join(need.clips)}: found {need}; {expected}")
    if ranks.is_first:
        logger.info("memory budget of %s: at most %s", format_bytes(budget), need)
    chosen = ranks.gather(chosen)[0]  # other machines may measure other bytes
    return replace(recipe, training=chosen)


@dataclass(frozen=True)
class Need:
    """What the clips need that need most memory when they are computed at once.

    Args:
        costs: What the training takes.
        settings: Settings of the training.
        clips: Names of the clips.
        lengths: Frames of each clip.
    """

    costs: Costs
    settings: TrainingConfig
    clips: list[str]
    lengths: list[int]

    @property
    def num_bytes(self) -> int:
        """Bytes of the GPU, or of the process on a CPU."""
        tensors = self.costs.at_once(self.lengths, self.settings.frames_per_chunk)
        return _PROGRAM + int(_HELD * tensors)

    def __str__(self) -> str:
        chunk, costs = self.settings.frames_per_chunk, self.costs
        options = f"--frames-per-chunk {chunk} --frames-at-once {self.settings.frames_at_once}"
        frame, activations = format_bytes(costs.image + costs.row), format_bytes(costs.activations)
        return (
            f"{sum(self.lengths)} frames at once, which need {format_bytes(self.num_bytes)} with "
            f"{options} (model {format_bytes(costs.model)}, step {format_bytes(costs.step)}, "
            f"{frame} a frame and {activations} a frame of a chunk, times {_HELD}, "
            f"and {format_bytes(_PROGRAM)})"
        )


@dataclass(frozen=True)
class Needs:
    """What the steps of all epochs need, however they are divided.

    Args:
        costs: What the training takes.
        clips: Names of the training clips.
        frames: Frames of each clip.
        shares: Clips of each step, or of each process in each step.
    """

    costs: Costs
    clips: list[str]
    frames: list[int]
    shares: list[list[int]]

    @classmethod
    def of_run(cls, recipe: Recipe, train_set: ClipDataset, num_processes: int) -> Needs:
        """Measures what a run takes."""
        settings, frames = recipe.training, list(train_set.num_frames())
        words = Vocabularies.build(train_set.clips, recipe.text)
        longest_text = max(len(words.encode_text(clip.text)) for clip in train_set.clips)
        costs = measure_costs(recipe, words, longest_text, choose_device(settings.device))
        steps = Steps(frames, settings)
        divided = [
            share
            for epoch in range(settings.epochs)
            for step in steps.of_epoch(epoch)
            for share in shares(step, frames, num_processes)
            if share
        ]
        return cls(costs, [clip.id for clip in train_set.clips], frames, divided)

    def largest_step(self) -> int:
        """Returns the frames of the largest share of a step."""
        return max(sum(self.frames[clip] for clip in share) for share in self.shares)

    def of(self, settings: TrainingConfig) -> Need:
        """Returns what the clips need that need most."""
        steps = Steps(self.frames, settings)

        def num_bytes(part: list[int]) -> int:
            lengths = [self.frames[clip] for clip in part]
            return self.costs.at_once(lengths, settings.frames_per_chunk)

        part = max((part for share in self.shares for part in steps.parts(share)), key=num_bytes)
        lengths = [self.frames[clip] for clip in part]
        return Need(self.costs, settings, [self.clips[clip] for clip in part], lengths)


def _with_frames(settings: TrainingConfig, size: int) -> TrainingConfig:
    """Returns settings that compute so many frames at once, as far as they leave it open."""
    return replace(
        settings,
        frames_per_chunk=settings.frames_per_chunk or size,
        frames_at_once=settings.frames_at_once or size,
    )
