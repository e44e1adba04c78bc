"""The splits of a run: read, checked, and what a checkpoint keeps of them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from slt_fast.checkpoint import TrainedOn
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.flow_cache.cache import open_flow_cache, with_cached_flow
from slt_fast.data.input import flow_device
from slt_fast.data.loading import ClipDataset, count_frames, keep_good, preload
from slt_fast.data.probes import probe
from slt_fast.data.sources import data_root, read_split
from slt_fast.device import choose_device
from slt_fast.errors import DataError, ErrorHandler, UserError
from slt_fast.files import replacing
from slt_fast.recipe import Recipe
from slt_fast.training.run import RunConfig

logger = logging.getLogger(__name__)


def load_dataset(
    recipe: Recipe,
    data: str,
    split: str,
    *,
    flow_cache: Path | None = None,
    probe_name: str | None = None,
    on_error: ErrorHandler | None = None,
    checks_clips: bool = True,
) -> ClipDataset:
    """Reads a split of `data` (synthetic[:SEED], phoenix14t:PATH or manifest:FILE) for batching.

    With training.preload its images are computed here.

    Args:
        flow_cache: Folder to read flow from, as far as it is there.
        probe_name: Probe that changes the clips; None for none.
        on_error: Called with each bad annotation or clip; None raises the first.
        checks_clips: Count the frames of clips that are not preloaded, so that a clip too short for
            its glosses is known before training starts.

    Raises:
        DataError: A bad annotation or clip, if on_error is None, or no usable flow cache.
        UserError: No clip can be read, or a flow cache is given for RGB input.
    """
    cache = flow_cache and open_flow_cache(flow_cache, recipe.input, data_root(data))
    clips = read_split(data, split, on_error=on_error)
    if probe_name:
        clips = [probe(clip, probe_name) for clip in clips]
    if cache:
        clips = with_cached_flow(clips, cache)
    settings = recipe.training
    images = None
    if settings.preload:
        device = flow_device(recipe.input, choose_device(settings.device))
        num_workers, label = settings.num_workers, f"reading {split}"
        found = preload(clips, recipe.input, num_workers=num_workers, label=label, device=device)
        clips, images = keep_good(clips, found, on_error)
    elif checks_clips:
        clips, _ = keep_good(clips, [count_frames(clip) for clip in clips], on_error)
    if not clips:
        raise UserError(f"{data}: found no readable clip in {split!r}; expected at least one")
    return ClipDataset(clips, images)


def trained_on(run: RunConfig, clips: Sequence[AnnotatedClip]) -> TrainedOn:
    """Returns what a checkpoint keeps of a run's data, of which these are the training clips."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(json.dumps([clip.id, clip.text, clip.glosses]).encode())
    splits = (run.train_split, run.dev_split, run.test_split)
    flow_cache = None if run.flow_cache is None else str(run.flow_cache)
    return TrainedOn(run.data, *splits, digest.hexdigest(), run.skip_bad, flow_cache)


def warn_of_long_texts(clips: Sequence[AnnotatedClip], limit: int) -> None:
    """Warns of training texts that are longer than any translation may be, in tokens."""
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
    """Lists each clip that is left out once, on the screen and in a file once one is open."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.path: Path | None = None

    def __call__(self, error: DataError) -> None:
        if str(error) not in self.lines:
            self.lines.append(str(error))
            logger.warning("left out: %s", error)
            self._write()

    def open(self, path: Path, *, append: bool) -> None:
        """Writes to a file from now on; append keeps what an earlier part of the run wrote."""
        known = path.read_text(encoding="utf-8").splitlines() if append and path.exists() else []
        path.unlink(missing_ok=True)
        self.path, self.lines = path, list(dict.fromkeys([*known, *self.lines]))
        self._write()

    def _write(self) -> None:
        if self.path and self.lines:
            with replacing(self.path) as temporary:
                temporary.write_text("\n".join(self.lines) + "\n", encoding="utf-8")
