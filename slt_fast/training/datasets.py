"""The splits of a run: read, checked, and what a checkpoint keeps of them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from slt_fast.checkpoint import TrainedOn
from slt_fast.data.clip import AnnotatedClip, TooShortError
from slt_fast.data.flow_cache.cache import cached_rate, open_flow_cache, with_cached_flow
from slt_fast.data.frame_source import FrameRate, common_rate, with_rate
from slt_fast.data.input import flow_device
from slt_fast.data.loading import ClipDataset, count_frames, keep_good, preload
from slt_fast.data.other_rates import NUM_CAMERAS, OtherRates
from slt_fast.data.sources import data_root, read_split
from slt_fast.data.text import TextUnits
from slt_fast.device import choose_device
from slt_fast.errors import DataError, ErrorHandler, UserError
from slt_fast.recipe import Recipe
from slt_fast.training.run import RunConfig

logger = logging.getLogger(__name__)


def read_splits(
    recipe: Recipe, run: RunConfig, *, on_error: ErrorHandler | None = None
) -> tuple[FrameRate, list[ClipDataset]]:
    """Reads the training, dev and test clips of a run; a split that it names twice only once.

    If dev or test is the training split, it is also the part of it that the run learns from.

    Returns:
        The frames per second that all clips are resampled to, and the three data sets.

    Raises:
        DataError: A bad annotation or clip, if on_error is None, or no usable flow cache.
        UserError: A split has no clip, or none that can be read, or fewer than run.train_clips.
    """
    names = (run.train_split, run.dev_split, run.test_split)
    has_images = recipe.input.has_images
    splits = {
        name: read_split(run.data, name, on_error=on_error, needs_frames=has_images)
        for name in dict.fromkeys(names)
    }
    fps = training_rate(run, splits[run.train_split]) if has_images else "native"
    splits[run.train_split] = part_of(splits[run.train_split], run.train_clips)
    cameras = {run.train_split: other_rates_of(recipe, replace(run, fps=fps))}
    prepared = {
        name: prepare_clips(recipe, run.data, clips, fps=fps, flow_cache=run.flow_cache)
        for name, clips in splits.items()
    }
    datasets = {
        name: read_clips(recipe, run.data, clips, on_error=on_error, other_rates=cameras.get(name))
        for name, clips in prepared.items()
    }
    train_set, *scored = (datasets[name] for name in names)
    return fps, [train_set, *(dataset.without_other_rates() for dataset in scored)]


def part_of(clips: Sequence[AnnotatedClip], number: int | None) -> list[AnnotatedClip]:
    """Chooses clips of a training split, kept in their order; a larger choice includes a smaller.

    The names of the clips decide, so that neighbours, which may be of one broadcast, are as likely
    as any others, and neither the seed of a run nor the other clips matter.

    Args:
        clips: Clips of the split.
        number: How many to choose; None means all.

    Raises:
        UserError: There are fewer.
    """
    if number is None:
        return [*clips]
    if number > len(clips):
        expected = f"at most {len(clips)}, the clips of split {clips[0].split!r}"
        raise UserError(f"train_clips: found {number}; expected {expected}")
    by_chance = sorted(clips, key=lambda clip: hashlib.sha256(clip.id.encode()).digest())
    chosen = {clip.id for clip in by_chance[:number]}
    return [clip for clip in clips if clip.id in chosen]


def prepare_clips(
    recipe: Recipe,
    data: str,
    clips: Sequence[AnnotatedClip],
    *,
    fps: FrameRate = "native",
    flow_cache: Path | None = None,
) -> list[AnnotatedClip]:
    """Resamples clips and finds their flow on disk.

    Args:
        data: Name of the data, as for read_split.
        fps: Frames per second that the clips are resampled to.
        flow_cache: Folder to read flow from, as far as it is there.

    Raises:
        DataError: There is no usable flow cache.
        UserError: A flow cache is given for RGB input.
    """
    clips = [replace(clip, source=with_rate(clip.source, fps)) for clip in clips]
    if flow_cache is None:
        return clips
    cache = open_flow_cache(flow_cache, recipe.input, data_root(data), fps=fps)
    return with_cached_flow(clips, cache)


def read_clips(
    recipe: Recipe,
    data: str,
    clips: list[AnnotatedClip],
    *,
    on_error: ErrorHandler | None = None,
    checks_clips: bool = True,
    other_rates: OtherRates | None = None,
) -> ClipDataset:
    """Makes a data set of the clips of a split; with training.preload their images as well.

    Args:
        data: Name of the data, for errors.
        on_error: Called with each bad clip; None raises the first.
        checks_clips: Count the frames of clips that are not preloaded, so that a clip too short for
            its glosses, or without any if they are the input, is known before training starts.
        other_rates: Cameras of other frame rates that film some clips of each epoch.

    Raises:
        DataError: A bad clip, if on_error is None.
        UserError: No clip can be read.
    """
    settings, split = recipe.training, clips[0].split
    images, others, frames = None, list[list[torch.Tensor]](), None
    device = flow_device(recipe.input, choose_device(settings.device))
    if settings.preload and recipe.input.has_images:
        make = partial(
            preload, config=recipe.input, num_workers=settings.num_workers, device=device
        )
        clips, images = keep_good(clips, make(clips, label=f"reading {split}"), on_error)
        others = [] if other_rates is None else _preload_others(clips, images, other_rates, make)
    elif checks_clips:
        counts = [count_frames(clip, recipe.input) for clip in clips]
        clips, frames = keep_good(clips, counts, on_error)
    if not clips:
        raise UserError(f"{data}: found no readable clip in {split!r}; expected at least one")
    config = None if device else recipe.input
    return ClipDataset(clips, images, config, other_rates, others, frames)


def _preload_others(
    clips: Sequence[AnnotatedClip],
    images: Sequence[torch.Tensor],
    other_rates: OtherRates,
    make: Callable[..., list[torch.Tensor | DataError]],
) -> list[list[torch.Tensor]]:
    """Makes images of the clips by each of their cameras; those too short keep their own."""
    others: list[list[torch.Tensor]] = []
    for number in range(NUM_CAMERAS):
        filmed = [other_rates.filmed(clip, index, number) for index, clip in enumerate(clips)]
        found = make(filmed, label=f"filming, camera {number + 1}/{NUM_CAMERAS}")
        pairs = zip(images, found, strict=True)
        chosen = [own if isinstance(other, TooShortError) else other for own, other in pairs]
        others.append(keep_good(clips, chosen, None)[1])
    return others


def other_rates_of(recipe: Recipe, run: RunConfig) -> OtherRates | None:
    """Returns the cameras of other frame rates that a run trains with; None for none.

    Raises:
        UserError: The run reads flow from a cache, or does not resample.
    """
    share = recipe.augmentation.other_rates
    if not share:
        return None
    if run.flow_cache:
        expected = "expected none, as the flow on disk is of one frame rate"
        raise UserError(f"other_rates: found the flow cache {run.flow_cache}; {expected}")
    if run.fps is None or run.fps == "native":
        expected = "expected a rate that the others are resampled to (see --fps)"
        raise UserError(f"other_rates: found fps native; {expected}")
    return OtherRates(share, run.fps, recipe.training.seed)


def training_rate(run: RunConfig, clips: Sequence[AnnotatedClip]) -> FrameRate:
    """Returns the frames per second that a run resamples to; these are its training clips."""
    if run.fps is not None:
        return run.fps
    rate = cached_rate(run.flow_cache) if run.flow_cache else None
    return common_rate([clip.source for clip in clips]) if rate is None else rate


def trained_on(run: RunConfig, clips: Sequence[AnnotatedClip]) -> TrainedOn:
    """Returns what a checkpoint keeps of a run's data, of which these are the training clips."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(json.dumps([clip.id, clip.text, clip.glosses]).encode())
    splits = (run.train_split, run.dev_split, run.test_split)
    flow_cache = None if run.flow_cache is None else str(run.flow_cache)
    known, folder, fps = digest.hexdigest(), str(Path.cwd()), run.fps or "native"
    data = (run.data, *splits, known, run.skip_bad)
    return TrainedOn(*data, flow_cache, folder, fps, run.train_clips)


def warn_of_long_texts(clips: Sequence[AnnotatedClip], limit: int, units: TextUnits) -> None:
    """Warns of training texts that are longer than any translation may be, in tokens."""
    lengths = [len(units.split(clip.text)) for clip in clips]
    num_long = sum(length > limit for length in lengths)
    if num_long:
        longest = max(range(len(clips)), key=lengths.__getitem__)
        logger.warning(
            "%s: %d tokens of text in clip %r; translations are cut off after %d "
            "(--max-text-length), which is too few for %d of %d training clips",
            *(clips[longest].origin, lengths[longest], clips[longest].id),
            *(limit, num_long, len(clips)),
        )


def warn_of_rare_words(clips: Sequence[AnnotatedClip], units: TextUnits) -> None:
    """Warns of training texts that cannot be learned by these units."""
    if units.subwords is not None:  # of which none is rare
        return
    texts = [units.split(clip.text) for clip in clips]
    counts = Counter(token for text in texts for token in text)
    num_single = sum(len(text) == 1 for text in texts)
    num_once = sum(count == 1 for count in counts.values())
    advice = (
        "--text-units punctuated splits punctuation off, subword cuts rare words, character takes "
        "single characters"
    )
    if 2 * num_single > len(texts):
        message = "%d of %d training texts have one token, as in languages without spaces; %s"
        logger.warning(message, num_single, len(texts), advice)
    elif 2 * num_once > len(counts):
        message = "%d of %d words of the training texts occur once; %s"
        logger.warning(message, num_once, len(counts), advice)
