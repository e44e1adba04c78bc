"""How a run starts in its folder: fresh, or from the last checkpoint with the same settings."""

import logging
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from slt_fast.checkpoint import TrainedModel, latest_checkpoint, read_description
from slt_fast.errors import DataError
from slt_fast.recipe import Recipe, differences
from slt_fast.training.run import RunConfig

logger = logging.getLogger(__name__)

_BACKBONE_WEIGHTS = "model.backbone_weights"
# What a run writes to its folder.
RUN_FILES = (
    *("metrics.jsonl", "metrics.json", "tensorboard", "skipped.txt"),
    *("checkpoints", "best", "previous", "last"),
)


def has_checkpoint_to_resume(run: RunConfig) -> bool:
    """Returns whether a run shall be resumed and has a checkpoint."""
    return run.resume and os.path.lexists(run.output / "last")


def settings_to_resume(run: RunConfig) -> tuple[Recipe, RunConfig]:
    """Reads the settings and data of a run from its last checkpoint."""
    recipe, _, trained_on = read_description(latest_checkpoint(run.output))
    data = trained_on.located()
    known = {name: value for name, value in asdict(data).items() if hasattr(run, name)}
    if data.flow_cache is not None:
        known["flow_cache"] = Path(data.flow_cache)
    return recipe, replace(run, **known)


def check_same_recipe(folder: Path, found: Recipe, wanted: Recipe) -> None:
    """Raises DataError if a checkpoint has other settings than the run that resumes it.

    There may be more epochs, and another patience. Files of backbone weights may have moved: the
    checkpoint holds what became of them.
    """
    changes = differences(found, wanted)
    changes.pop("training.patience", None)
    if not {"imagenet", "kinetics", "none"} & set(changes.get(_BACKBONE_WEIGHTS, ("none",))):
        del changes[_BACKBONE_WEIGHTS]
    epochs, wanted_epochs = changes.get("training.epochs", (0, 0))
    if wanted_epochs > epochs:  # a longer training
        del changes["training.epochs"]
    _refuse(folder, changes)


def check_same_run(folder: Path, found: TrainedModel, wanted: TrainedModel) -> None:
    """Raises DataError if a checkpoint has other settings or data than the run that resumes it.

    The data are known by the digest of the training clips, wherever they are now. A run that met a
    bad clip can continue without it, and cached flow is the same as computed flow.
    """
    check_same_recipe(folder, found.recipe, wanted.recipe)
    before, now = asdict(found.trained_on), asdict(wanted.trained_on)
    same_clips = before.pop("train_clips_sha256") == now.pop("train_clips_sha256")
    before |= {name: now[name] for name in ("data", "folder", "skip_bad", "flow_cache")}
    _refuse(folder, {name: (before[name], now[name]) for name in now if before[name] != now[name]})
    if not same_clips:
        changed = "other training clips (id, text or glosses)"
        raise DataError(folder, changed, "those of the training split given now")
    if found.vocabularies != wanted.vocabularies:
        raise DataError(folder, "other words or glosses", "those of the training split given now")


def _refuse(folder: Path, changes: dict[str, tuple[Any, Any]]) -> None:
    for name, (theirs, ours) in changes.items():
        raise DataError(folder, f"{name} {theirs!r}", f"{ours!r}, as asked for now")


def prepare_output(run: RunConfig) -> None:
    """Moves an earlier run in the output folder aside, unless it is resumed.

    Only what a run writes is moved, so that the folder may be any, the working directory included.
    """
    if run.resume or not os.path.lexists(run.output / "last"):
        return
    folder = run.output.resolve()
    aside = _folder_aside(folder)
    # "last" goes last: a kill in between leaves a run that the next start moves aside.
    for name in RUN_FILES:
        if os.path.lexists(folder / name):
            os.rename(folder / name, aside / name)
    logger.warning("%s held a run: it is now %s (--resume goes on instead)", run.output, aside)


def _folder_aside(folder: Path) -> Path:
    """Makes an empty folder beside another one, or within it if nothing can be moved out of it."""
    within = _free(folder, folder.name)
    within.mkdir()
    beside = _free(folder.parent, folder.name)
    try:
        os.rename(within, beside)
    except OSError:  # a mount point, or a parent folder that may not be written
        return within
    return beside


def _free(place: Path, name: str) -> Path:
    paths = (place / f"{name}.{number}" for number in range(1, 10_000))
    return next(path for path in paths if not os.path.lexists(path))
