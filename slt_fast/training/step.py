"""One optimisation step: gradients of its parts, their sum over processes, and the update."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from slt_fast.data.batching import Batch, Vocabularies, too_many_frames
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.packing import seeded_generator
from slt_fast.device import autocast, to_device
from slt_fast.errors import DataError, ErrorHandler, UserError, handle, is_out_of_memory
from slt_fast.recipe import TrainingConfig
from slt_fast.training.losses import Counts, counts_of, translation_loss
from slt_fast.training.ranks import Ranks
from slt_fast.training.statistics import RunningStatistics

logger = logging.getLogger(__name__)

# Steps after which the host asks the device for their losses, for which it waits.
_STEPS_AT_A_TIME = {"cpu": 1, "cuda": 20}
_LOSSES = Counts._fields


class _Taken(NamedTuple):
    """A step whose losses and norm, in this order in `values`, may still be computed."""

    step: int
    clips: Sequence[AnnotatedClip]
    planned: Counts
    read: Counts
    frames: int
    learning_rate: float
    values: torch.Tensor


@dataclass(frozen=True)
class StepResult:
    """What a step found.

    Args:
        step: Its number.
        clips: Its clips.
        sums: Losses by name, summed over the tokens or glosses that `counts` counts.
        counts: Tokens and glosses of the clips that could be read.
        frames: Their frames.
        norm: Norm of the gradient; if it is not finite, the step changed nothing.
        learning_rate: Learning rate.
    """

    step: int
    clips: Sequence[AnnotatedClip]
    sums: dict[str, float]
    counts: Counts
    frames: int
    norm: float
    learning_rate: float

    @property
    def is_good(self) -> bool:
        """Whether the step changed the weights."""
        return math.isfinite(self.norm)

    def means(self) -> dict[str, float]:
        """Returns the losses per token and per gloss."""
        return {name: total / getattr(self.counts, name) for name, total in self.sums.items()}


class Stepper:
    """Changes the weights of a network, one step after the other.

    Args:
        network: The network, on its device.
        vocabularies: Its vocabularies.
        settings: Settings of the training.
        ranks: The processes that train together.
        recognises: Whether the network recognises glosses.
    """

    def __init__(
        self,
        network: nn.Module,
        vocabularies: Vocabularies,
        settings: TrainingConfig,
        ranks: Ranks,
        *,
        recognises: bool = True,
    ) -> None:
        self.network, self.vocabularies, self.settings = network, vocabularies, settings
        self.ranks, self.recognises = ranks, recognises
        self.parameters = list(network.parameters())
        self.device = self.parameters[0].device
        self.statistics = RunningStatistics(network)
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=0.0, weight_decay=settings.weight_decay, fused=True
        )
        self._waiting: list[_Taken] = []

    def take(
        self,
        step: int,
        clips: Sequence[AnnotatedClip],
        parts: Iterable[Batch],
        learning_rate: float,
        on_error: ErrorHandler | None,
    ) -> bool:
        """Takes a step; returns whether any clip could be read.

        A step whose gradient is not finite leaves weights and statistics as they are.

        Args:
            step: Number of the step, which is the seed of its dropout.
            clips: All clips of the step, those of other processes as well.
            parts: Batches of this process's clips, which are computed one after the other.
            learning_rate: Learning rate.
            on_error: Called with each clip that cannot be read, those of other processes as well;
                None raises it.

        Raises:
            UserError: Something is wrong with some clips, or needs too much memory.
        """
        seeds = (self.settings.seed, step, self.ranks.rank)
        torch.manual_seed(seeded_generator(*seeds).initial_seed())
        self.statistics.remember()
        self.optimizer.zero_grad(set_to_none=True)
        planned, read, frames = self._counts(clips), Counts(0, 0), 0
        values = torch.zeros(len(_LOSSES) + 1, device=self.device)
        errors: list[DataError] = []
        for batch in parts:
            for error in batch.errors:
                handle(error, on_error)
            errors += batch.errors
            if batch.clips:
                with _naming(step, batch, self.device):
                    values[: len(_LOSSES)] += self._add_gradient(batch, planned)
                read = read.plus(self._counts(batch.clips))
                frames += len(batch.images)
        read, frames, num_errors = self._sum_over_ranks(read, frames, len(errors), values)
        if num_errors:
            for error in self.ranks.of_others(errors):
                handle(error, on_error)
        if not read.text:
            return False
        values[-1] = self._update(learning_rate)
        self._waiting.append(_Taken(step, clips, planned, read, frames, learning_rate, values))
        return True

    def forget(self) -> None:
        """Undoes what a step that was broken off did to the statistics."""
        self.statistics.restore(torch.tensor(True, device=self.device))

    def results(self, *, at_once: bool = False) -> list[StepResult]:
        """Returns what the steps since the last results found; often none, as it waits for them.

        Args:
            at_once: Waits for all steps.
        """
        if not self._waiting:
            return []
        if len(self._waiting) < _STEPS_AT_A_TIME[self.device.type] and not at_once:
            return []
        waiting, self._waiting = self._waiting, []
        rows = torch.stack([taken.values for taken in waiting]).tolist()
        return [_result(taken, row) for taken, row in zip(waiting, rows, strict=True)]

    def loss(self, batch: Batch, planned: Counts) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Computes the loss of a part of a step; returns what translation_loss does."""
        settings, device = self.settings, self.device
        text = to_device(batch.text, device)
        with autocast(device, settings.precision):
            output = self.network(to_device(batch.images, device), batch.lengths, text)
        return translation_loss(
            output,
            batch.glosses,
            batch.gloss_lengths,
            text,
            planned,
            ctc_weight=settings.ctc_weight,
            text_weight=settings.text_weight,
            label_smoothing=settings.label_smoothing,
        )

    def _counts(self, clips: Sequence[AnnotatedClip]) -> Counts:
        return counts_of(clips, self.vocabularies, recognises=self.recognises)

    def _add_gradient(self, batch: Batch, planned: Counts) -> torch.Tensor:
        """Adds the gradient of a part of a step; returns its losses, in the order of Counts."""
        total, losses = self.loss(batch, planned)
        total.backward()
        none = total.new_zeros(())
        return torch.stack([losses.get(name, none) for name in _LOSSES])

    def _sum_over_ranks(
        self, read: Counts, frames: int, num_errors: int, losses: torch.Tensor
    ) -> tuple[Counts, int, int]:
        """Sums counts, losses and gradients over the processes, and averages the statistics."""
        if self.ranks.number == 1:
            return read, frames, num_errors
        has_gradient = [parameter.grad is not None for parameter in self.parameters]
        message = torch.tensor([frames, num_errors, *read, *has_gradient])
        self.ranks.sum(message)
        frames, num_errors, text, ctc, *used = message.tolist()
        for parameter, number in zip(self.parameters, used, strict=True):
            if number and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        shared = [losses, *(p.grad for p in self.parameters if p.grad is not None)]
        if self.settings.batch_norm == "batch":  # the mean of equal statistics would be rounded
            self.statistics.values /= self.ranks.number
            shared.append(self.statistics.values)
        self.ranks.sum(*shared)
        return Counts(text, ctc), frames, num_errors

    def _update(self, learning_rate: float) -> torch.Tensor:
        """Changes the weights, unless the gradient is not finite; returns its norm."""
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.gradient_clip)
        is_bad = ~norm.isfinite()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        # As torch's own scaler of gradients does it: fused optimisers ask on the device.
        self.optimizer.found_inf = is_bad.float()  # type: ignore[attr-defined]
        self.optimizer.step()
        self.statistics.restore(is_bad)
        return norm


def _result(taken: _Taken, row: Sequence[float]) -> StepResult:
    """Returns what a step found; its losses are means over all clips that it should have had."""
    sums = {
        name: value * getattr(taken.planned, name)
        for name, value in zip(_LOSSES, row, strict=False)
        if getattr(taken.read, name)
    }
    found = taken.read, taken.frames, row[-1], taken.learning_rate
    return StepResult(taken.step, taken.clips, sums, *found)


@contextmanager
def _naming(step: int, batch: Batch, device: torch.device) -> Iterator[None]:
    """Names step and clips in whatever goes wrong."""
    names = ", ".join(clip.id for clip in batch.clips)
    try:
        yield
    except UserError as error:
        raise UserError(f"step {step}, clips {names}: {error}") from error
    except Exception as error:
        if is_out_of_memory(error):
            reason = too_many_frames(batch.clips, len(batch.images), device)
            raise UserError(f"step {step}, {reason}") from error
        logger.error("step %d failed with clips %s", step, names)
        raise
