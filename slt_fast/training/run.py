"""What a run reads and where it writes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from slt_fast.checkpoint import (
    TrainedModel,
    TrainedOn,
    checkpoint_folder,
    read_description,
)
from slt_fast.data.augmentation import AugmentationConfig
from slt_fast.data.batching import ClipDataset
from slt_fast.data.clip import Clip
from slt_fast.data.flow_cache.cache import FlowCache, open_flow_cache, with_cached_flow
from slt_fast.data.input import flow_device
from slt_fast.data.loading import count_frames, keep_good, preload
from slt_fast.data.sources import data_root, read_split
from slt_fast.device import choose_device
from slt_fast.errors import DataError, ErrorHandler
from slt_fast.recipe import Recipe, differences

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunConfig:
    """What a run reads and where it writes."""

    data: str = "synthetic"
    """synthetic[:SEED], phoenix14t:PATH or manifest:FILE."""
    output: Path = Path("runs/run")
    """Folder of checkpoints, logs and scores."""
    resume: bool = False
    """Go on from the last checkpoint in the output folder."""
    skip_bad: bool = False
    """Leave out clips that cannot be read and list them, instead of stopping at the first."""
    train_split: str = "train"
    """Split to learn from."""
    dev_split: str = "dev"
    """Split that chooses the best checkpoint."""
    test_split: str = "test"
    """Split that is scored at the end."""
    flow_cache: Path | None = None
    """Folder that scripts/extract_flow.py made: flow is read from it, not computed."""


def load_dataset(
    recipe: Recipe,
    data: str,
    split: str,
    on_error: ErrorHandler | None,
    augmentation: AugmentationConfig | None = None,
    *,
    flow_cache: FlowCache | None = None,
) -> ClipDataset:
    """A split, ready to be batched; with training.preload its images are computed here.

    Without, the frames are only counted, so that a clip too short for its glosses is known before
    the training starts. Flow is read from the cache as far as it is there.

    Raises:
        DataError: A bad annotation or clip, if on_error is None.
    """
    clips = read_split(data, split, on_error=on_error)
    if flow_cache:
        clips = with_cached_flow(clips, flow_cache)
    settings = recipe.training
    device = flow_device(recipe.input, choose_device(settings.device))
    if settings.preload:
        num_workers, label = settings.num_workers, f"reading {split}"
        loaded = preload(clips, recipe.input, num_workers=num_workers, label=label, device=device)
    else:
        loaded = [count_frames(clip) for clip in clips]
    clips, good = keep_good(clips, loaded, on_error)
    if not clips:
        raise ValueError(f"{data}: found no readable clip in {split!r}; expected at least one")
    return ClipDataset(
        clips,
        recipe.input,
        preloaded=good if settings.preload else None,
        augmentation=augmentation,
        seed=settings.seed,
        device=device,
    )


def run_flow_cache(recipe: Recipe, run: RunConfig) -> FlowCache | None:
    """The flow cache of a run, if it has one.

    Raises:
        DataError: No cache, or one of other flow than the recipe's.
        ValueError: A recipe without flow.
    """
    if run.flow_cache is None:
        return None
    return open_flow_cache(run.flow_cache, recipe.input, data_root(run.data))


def trained_on(run: RunConfig, clips: Sequence[Clip]) -> TrainedOn:
    """What a checkpoint keeps of a run's data."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(json.dumps([clip.id, clip.text, clip.glosses]).encode())
    splits = (run.train_split, run.dev_split, run.test_split)
    flow_cache = None if run.flow_cache is None else str(run.flow_cache)
    return TrainedOn(run.data, *splits, digest.hexdigest(), run.skip_bad, flow_cache)


def warn_of_long_texts(clips: Sequence[Clip], limit: int) -> None:
    """Warns of texts that are learned in full but could be translated only in part.

    Args:
        clips: Training clips.
        limit: Longest translation, in tokens.
    """
    long = [clip for clip in clips if len(clip.text.split()) > limit]
    if long:
        longest = max(long, key=lambda clip: len(clip.text.split()))
        logger.warning(
            "%s: %d tokens of text in clip %r; translations are cut off after %d "
            "(--max-text-length), which is too few for %d of %d training clips",
            longest.origin,
            len(longest.text.split()),
            longest.id,
            limit,
            len(long),
            len(clips),
        )


class SkippedClips:
    """Collects what is left out, on the screen and, once there is one, in a file; each once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.path: Path | None = None

    def __call__(self, error: DataError) -> None:
        if str(error) in self.lines:
            return
        self.lines.append(str(error))
        logger.warning("left out: %s", error)
        if self.path:
            self._write([str(error)])

    def open(self, path: Path, *, append: bool) -> None:
        """Writes to a file from now on, what was left out so far first; append goes on in it."""
        self.path = path
        known: list[str] = []
        if append and path.exists():
            known = path.read_text(encoding="utf-8").splitlines()
        elif path.exists():
            path.unlink()
        self._write([line for line in self.lines if line not in known])
        self.lines += known

    def _write(self, lines: list[str]) -> None:
        if lines:
            with open(self.path, "a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)


def resumes(run: RunConfig) -> bool:
    """Whether there is a checkpoint to go on from, and that is asked for."""
    return run.resume and os.path.lexists(run.output / "last")


def resumed(run: RunConfig) -> tuple[Recipe, RunConfig]:
    """Settings and data of the run that is resumed.

    Raises:
        DataError: A broken checkpoint.
    """
    recipe, _, data = read_description(checkpoint_folder(run.output / "last"))
    known = {name: value for name, value in asdict(data).items() if hasattr(run, name)}
    if data.flow_cache is not None:
        known["flow_cache"] = Path(data.flow_cache)
    return recipe, replace(run, **known)


def check_same(folder: Path, found: TrainedModel, asked: TrainedModel) -> None:
    """Resuming goes on with the same settings and data, or not at all.

    Only skip_bad and flow_cache may change: a run that met a bad clip can go on without it, and
    flow is the same from wherever it comes.

    Raises:
        DataError: The first difference.
    """
    changes = differences(found.recipe, asked.recipe)
    before, now = asdict(found.trained_on), asdict(asked.trained_on)
    before |= {name: now[name] for name in ("skip_bad", "flow_cache")}
    changes |= {name: (before[name], now[name]) for name in now if before[name] != now[name]}
    for name, (theirs, ours) in changes.items():
        raise DataError(folder, f"{name} {theirs!r}", f"{ours!r}, as asked for now")
    if found.vocabularies != asked.vocabularies:
        raise DataError(folder, "other words or glosses", "those of the training split given now")


def check_output(run: RunConfig) -> None:
    """Whether there is a folder to resume in.

    Raises:
        DataError: There is none.
    """
    if run.resume and not run.output.is_dir():
        raise DataError(run.output, "no such folder", "the folder of a run to go on with")


def make_room(run: RunConfig) -> None:
    """Makes the output folder; a finished or broken-off run in it is moved aside, never lost."""
    if not run.resume and (run.output / "last").exists():
        aside = next(
            path
            for number in range(1, 10_000)
            if not (path := run.output.with_name(f"{run.output.name}.{number}")).exists()
        )
        run.output.rename(aside)
        logger.warning("%s held a run: it is now %s (--resume goes on instead)", run.output, aside)
    run.output.mkdir(parents=True, exist_ok=True)
