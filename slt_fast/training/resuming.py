"""How a run starts in its folder: fresh, or from the last checkpoint with the same settings."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, replace
from pathlib import Path

from slt_fast.checkpoint import TrainedModel, checkpoint_folder, read_description
from slt_fast.data.flow_cache.extraction import share_of_work
from slt_fast.errors import DataError, UserError
from slt_fast.recipe import Recipe, differences
from slt_fast.training.run import RunConfig

logger = logging.getLogger(__name__)

# What a run writes to its folder.
RUN_FILES = (
    *("metrics.jsonl", "metrics.json", "tensorboard", "skipped.txt"),
    *("checkpoints", "best", "last"),
)


def has_checkpoint_to_resume(run: RunConfig) -> bool:
    """Returns whether a run shall be resumed and has a checkpoint."""
    return run.resume and os.path.lexists(run.output / "last")


def settings_to_resume(run: RunConfig) -> tuple[Recipe, RunConfig]:
    """Reads the settings and data of a run from its last checkpoint."""
    recipe, _, data = read_description(checkpoint_folder(run.output / "last"))
    known = {name: value for name, value in asdict(data).items() if hasattr(run, name)}
    if data.flow_cache is not None:
        known["flow_cache"] = Path(data.flow_cache)
    return recipe, replace(run, **known)


def check_same_run(folder: Path, found: TrainedModel, wanted: TrainedModel) -> None:
    """Raises DataError if a checkpoint has other settings or data than the run that resumes it.

    Only skip_bad and flow_cache may change: a run that met a bad clip can continue without it, and
    cached flow is the same as computed flow.
    """
    changes = differences(found.recipe, wanted.recipe)
    before, now = asdict(found.trained_on), asdict(wanted.trained_on)
    before |= {name: now[name] for name in ("skip_bad", "flow_cache")}
    changes |= {name: (before[name], now[name]) for name in now if before[name] != now[name]}
    for name, (theirs, ours) in changes.items():
        raise DataError(folder, f"{name} {theirs!r}", f"{ours!r}, as asked for now")
    if found.vocabularies != wanted.vocabularies:
        raise DataError(folder, "other words or glosses", "those of the training split given now")


def check_one_process() -> None:
    """Raises UserError if torchrun started several processes, each of which would train alone."""
    _, num_processes = share_of_work()
    if num_processes > 1:
        expected = "one, as training on several GPUs is left to a later version"
        raise UserError(f"torchrun: found {num_processes} processes; expected {expected}")


def check_resumable(run: RunConfig) -> None:
    """Raises DataError if a run shall be resumed in a folder that does not exist."""
    if run.resume and not run.output.is_dir():
        raise DataError(run.output, "no such folder", "the folder of a run to go on with")


def prepare_output(run: RunConfig) -> None:
    """Moves an earlier run in the output folder aside, unless it is resumed.

    Only what a run writes is moved, so that the folder may be any, the working directory included.
    """
    if run.resume or not os.path.lexists(run.output / "last"):
        return
    folder = run.output.resolve()
    aside = next(
        path
        for number in range(1, 10_000)
        if not os.path.lexists(path := folder.with_name(f"{folder.name}.{number}"))
    )
    aside.mkdir()
    # "last" goes last: a kill in between leaves a run that the next start moves aside.
    for name in RUN_FILES:
        if os.path.lexists(folder / name):
            os.rename(folder / name, aside / name)
    logger.warning("%s held a run: it is now %s (--resume goes on instead)", run.output, aside)
