"""How far a run has come, as its checkpoints keep it in training.json."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from slt_fast.errors import DataError, UserError
from slt_fast.files import read_json
from slt_fast.settings import Bounds, check_settings, check_value


@dataclass
class Progress:
    """How far a run has come; training.json in a checkpoint.

    Args:
        loss_sums: Sums of the losses of the current epoch, by name; empty in earlier checkpoints.
        loss_counts: Tokens or glosses in each of these sums.
    """

    epoch: Annotated[int, Bounds(ge=0)] = 0
    batch: Annotated[int, Bounds(ge=0)] = 0
    step: Annotated[int, Bounds(ge=0)] = 0
    best_score: Annotated[float, Bounds(ge=-1, le=100.001)] = -1.0  # rounding passes 100
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
        return Progress(**values)
    except (TypeError, UserError) as error:
        raise DataError(path, str(error), "the state that slt_fast writes") from error


def _check_numbers(name: str, hint: object, values: object) -> None:
    if not isinstance(values, dict):
        raise UserError(f"{name}: found {values!r}; expected a number for each loss")
    for loss, value in values.items():
        check_value(f"{name} of {loss}", hint, value)
