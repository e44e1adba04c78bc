"""How far a run has come, as its checkpoints keep it in training.json."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from slt_fast.errors import DataError, UserError
from slt_fast.files import read_json
from slt_fast.settings import Bounds, check_settings, check_value
from slt_fast.training.best import is_better


@dataclass
class Progress:
    """How far a run has come; training.json in a checkpoint.

    Args:
        best_score: Best dev score, by the score that chooses; None before the first.
        scorings_since_best: Scorings of dev in a row without a better score.
        loss_sums: Sums of the losses of the current epoch, by name; empty in earlier checkpoints.
        loss_counts: Tokens or glosses in each of these sums.
    """

    epoch: Annotated[int, Bounds(ge=0)] = 0
    batch: Annotated[int, Bounds(ge=0)] = 0
    step: Annotated[int, Bounds(ge=0)] = 0
    best_score: Annotated[float, Bounds(ge=0)] | None = None
    scorings_since_best: Annotated[int, Bounds(ge=0)] = 0
    seconds: Annotated[float, Bounds(ge=0)] = 0.0
    loss_sums: dict[str, float] = field(default_factory=dict)
    loss_counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_settings(self)
        _check_numbers("loss_sums", float, self.loss_sums)
        _check_numbers("loss_counts", Annotated[int, Bounds(ge=1)], self.loss_counts)
        if self.loss_sums.keys() != self.loss_counts.keys():
            found, expected = sorted(self.loss_counts), sorted(self.loss_sums)
            raise UserError(f"loss_counts: found {found}; expected {expected}, as in loss_sums")

    def add_losses(self, sums: Mapping[str, float], counts: Mapping[str, int]) -> None:
        """Adds the losses of one step to those of the epoch, with what each is divided by."""
        for name, value in sums.items():
            self.loss_sums[name] = self.loss_sums.get(name, 0.0) + value
            self.loss_counts[name] = self.loss_counts.get(name, 0) + counts[name]

    def add_score(self, name: str, score: float) -> bool:
        """Counts a dev score of a name; returns whether no earlier one is better."""
        gained = is_better(name, score, self.best_score)
        self.scorings_since_best = 0 if gained else self.scorings_since_best + 1
        if not gained and score != self.best_score:
            return False
        self.best_score = score
        return True

    def is_done(self, epochs: int, patience: int) -> bool:
        """Returns whether training has ended: after all epochs, or without gain on dev."""
        return self.epoch >= epochs or 0 < patience <= self.scorings_since_best

    def mean_losses(self) -> dict[str, float]:
        """Returns the mean losses of the epoch so far."""
        return {name: total / self.loss_counts[name] for name, total in self.loss_sums.items()}

    def finish_epoch(self) -> None:
        """Moves on to the start of the next epoch."""
        self.epoch, self.batch = self.epoch + 1, 0
        self.loss_sums, self.loss_counts = {}, {}


def read_progress(path: Path) -> Progress:
    """Reads training.json; raises DataError if it is missing or broken."""
    values = read_json(path)
    try:
        if "best_bleu4" in values:  # its name when BLEU-4 always decided
            values["best_score"] = values.pop("best_bleu4")
        if values.get("best_score") == -1:  # what it was before the first scoring
            values["best_score"] = None
        return Progress(**values)
    except (TypeError, UserError) as error:
        raise DataError(path, str(error), "the state that slt_fast writes") from error


def _check_numbers(name: str, hint: object, values: object) -> None:
    if not isinstance(values, dict):
        raise UserError(f"{name}: found {values!r}; expected a number for each loss")
    for loss, value in values.items():
        check_value(f"{name} of {loss}", hint, value)
