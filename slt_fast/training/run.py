"""What a run reads and where it writes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from slt_fast.data.augmentation import AugmentationConfig
from slt_fast.data.batching import ClipDataset, count_frames, keep_good, preload
from slt_fast.data.errors import DataError, ErrorHandler
from slt_fast.data.sources import read_split
from slt_fast.training.config import Recipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunConfig:
    """What a run reads and where it writes."""

    data: str = "synthetic"
    """synthetic, phoenix14t:PATH or manifest:FILE."""
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


def load_dataset(
    recipe: Recipe,
    data: str,
    split: str,
    on_error: ErrorHandler | None,
    augmentation: AugmentationConfig | None = None,
) -> ClipDataset:
    """A split, ready to be batched; with training.preload its images are computed here.

    Without, the frames are only counted, so that a clip too short for its glosses is known before
    the training starts.

    Raises:
        DataError: A bad annotation or clip, if on_error is None.
    """
    clips = read_split(data, split, on_error=on_error)
    if recipe.training.preload:
        loaded = preload(
            clips, recipe.input, num_workers=recipe.training.num_workers, label=f"reading {split}"
        )
    else:
        loaded = [count_frames(clip) for clip in clips]
    clips, good = keep_good(clips, loaded, on_error)
    if not clips:
        raise ValueError(f"{data}: found no readable clip in {split!r}; expected at least one")
    return ClipDataset(
        clips,
        recipe.input,
        preloaded=good if recipe.training.preload else None,
        augmentation=augmentation,
        seed=recipe.training.seed,
    )


@dataclass
class SkippedClips:
    """Collects what is left out, in a file and on the screen; each line once."""

    path: Path
    lines: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.path.exists():
            self.lines |= set(self.path.read_text(encoding="utf-8").splitlines())

    def __call__(self, error: DataError) -> None:
        if str(error) in self.lines:
            return
        self.lines.add(str(error))
        logger.warning("left out: %s", error)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{error}\n")


def make_room(run: RunConfig) -> None:
    """Makes the output folder; a finished or broken-off run in it is moved aside, never lost.

    Raises:
        DataError: No folder to resume in.
    """
    if run.resume and not run.output.is_dir():
        raise DataError(run.output, "no such folder", "the folder of a run to go on with")
    if not run.resume and (run.output / "last").exists():
        aside = next(
            path
            for number in range(1, 10_000)
            if not (path := run.output.with_name(f"{run.output.name}.{number}")).exists()
        )
        run.output.rename(aside)
        logger.warning("%s held a run: it is now %s (--resume goes on instead)", run.output, aside)
    run.output.mkdir(parents=True, exist_ok=True)
