"""How a run starts in its folder: fresh, or from the last checkpoint with the same settings."""

import logging
import os
from dataclasses import asdict, replace
from pathlib import Path

from slt_fast.checkpoint import TrainedModel, checkpoint_folder, read_description
from slt_fast.errors import DataError
from slt_fast.recipe import Recipe, differences
from slt_fast.training.run import RunConfig

logger = logging.getLogger(__name__)


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


def check_resumable(run: RunConfig) -> None:
    """Raises DataError if a run shall be resumed in a folder that does not exist."""
    if run.resume and not run.output.is_dir():
        raise DataError(run.output, "no such folder", "the folder of a run to go on with")


def prepare_output(run: RunConfig) -> None:
    """Makes the output folder; moves an earlier run in it aside, unless it is resumed."""
    if not run.resume and (run.output / "last").exists():
        aside = next(
            path
            for number in range(1, 10_000)
            if not (path := run.output.with_name(f"{run.output.name}.{number}")).exists()
        )
        run.output.rename(aside)
        logger.warning("%s held a run: it is now %s (--resume goes on instead)", run.output, aside)
    run.output.mkdir(parents=True, exist_ok=True)
