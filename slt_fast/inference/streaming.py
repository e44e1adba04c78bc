"""Cuts the images of a long video or a stream into sentences, and translates each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import torch

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.batching import PackedClips
from slt_fast.data.clip import Clip
from slt_fast.data.input import InputConfig, blank_value
from slt_fast.data.timed_images import TimedImage
from slt_fast.errors import DataError, result_or_error
from slt_fast.inference.pauses import PauseConfig, PauseFinder, Stretch
from slt_fast.inference.translate import Translation, translate_batch

# Seconds by which two sentences reach over a cut between them that is at no pause. At a pause they
# see no rest: a model that was trained on clips without rest does worse with it (docs/log.md).
_OVERLAP = 0.2


@dataclass(frozen=True)
class Segment:
    """A sentence of a video or a stream.

    Args:
        start_s: Seconds at which it starts, from the start of the video or the first frame of the
            stream; NaN for a folder of frames of unknown rate.
        end_s: Seconds at which it ends.
        translation: What the network says of it.
        is_final: False if it may still go on: later segments, with the same start or about the same
            one, replace it.
        is_whole: Whether it is a whole video that was taken as one sentence.
        compute_s: Seconds that the translation took, from the moment when its images were known.
        moments: Number of the first image that the network saw, of all images of the video, and
            the number after its last one.
    """

    start_s: float
    end_s: float
    translation: Translation
    is_final: bool = True
    is_whole: bool = False
    compute_s: float = field(default=0.0, compare=False)
    moments: tuple[int, int] = field(default=(0, 0), compare=False)


class Sentence(NamedTuple):
    """Images of a sentence; the fields are those of Segment."""

    images: torch.Tensor  # float16 [T, 3, image_size, image_size]
    start_s: float
    end_s: float
    moments: tuple[int, int]
    is_final: bool = True
    is_whole: bool = False


class Partial(NamedTuple):
    """When to yield sentences that still go on.

    Args:
        seconds: Seconds of video between two of them, or more.
        is_late: Returns True if there is no time for one, because frames are waiting.
    """

    seconds: float
    is_late: Callable[[], bool] = lambda: False


def whole_clip(images: Iterable[TimedImage], rate: float | None) -> Sentence:
    """Takes all images as one sentence.

    Args:
        images: One or more.
        rate: Images a second; None if unknown.
    """
    held = list(images)
    last = held[-1].seconds + (1 / rate if rate else 0)
    stacked = torch.stack([one.image for one in held])
    return Sentence(stacked, held[0].seconds, last, (0, len(held)), is_whole=True)


def cut_at_pauses(
    images: Iterable[TimedImage],
    rate: float,
    config: InputConfig,
    pauses: PauseConfig,
    partial: Partial | None = None,
) -> Iterator[Sentence]:
    """Yields the sentences between pauses, each as soon as its pause is recognised.

    The images of a sentence are those of the part of the video that it lasts, read alone: the first
    shows zero flow. Memory holds the images of the longest sentence at most.

    Args:
        images: Images of the stream.
        rate: Images a second.
        config: Settings of the images.
        pauses: What is a pause.
        partial: When to yield a sentence that goes on; None for never.
    """
    finder, held = PauseFinder(pauses, rate), _Held(config, rate)
    num_until_partial = step = max(1, round(partial.seconds * rate)) if partial else 0
    for image in images:
        held.add(image)
        if (found := finder.add(image.motion)) is not None:
            yield held.sentence(found)
            num_until_partial = step
        held.forget(finder.needed)
        num_until_partial -= 1
        if partial and num_until_partial <= 0 and not partial.is_late():
            if (found := finder.going_on()) is not None:
                yield held.sentence(found)._replace(is_final=False)
            num_until_partial = step
    if (found := finder.finish()) is not None:
        yield held.sentence(found)


class _Held:
    """The images that sentences may still need."""

    def __init__(self, config: InputConfig, rate: float) -> None:
        self._images: deque[TimedImage] = deque()
        self._first = 0  # number of the first one
        self._rate, self._overlap = rate, round(_OVERLAP * rate)
        self._blank = blank_value(config) if config.input == "flow" else None

    def add(self, image: TimedImage) -> None:
        self._images.append(image)

    def forget(self, until: int) -> None:
        while self._first < until - self._overlap:
            self._images.popleft()
            self._first += 1

    def sentence(self, found: Stretch) -> Sentence:
        first, end = found.first - self._first, found.end - self._first
        before, after = (self._overlap * is_cut for is_cut in found.is_cut)
        shown = islice(self._images, start := max(first - before, 0), end + after)
        images = torch.stack([one.image for one in shown])
        if self._blank is not None:
            images[0] = self._blank
        if end < len(self._images):
            last = self._images[end].seconds
        else:
            last = self._images[-1].seconds + 1 / self._rate
        start += self._first
        moments = start, start + len(images)
        return Sentence(images, self._images[first].seconds, last, moments)


def translate_sentences(
    trained: TrainedModel, sentences: Iterable[Sentence], clip: Clip | None = None
) -> Iterator[Segment]:
    """Translates sentences one by one, on the device of a model in evaluation mode.

    Args:
        trained: The model.
        sentences: The sentences.
        clip: The clip that they are from, for errors.

    Raises:
        UserError: A sentence has more frames than the device's memory holds.
    """
    for images, start_s, end_s, moments, is_final, is_whole in sentences:
        started = time.perf_counter()
        batch = PackedClips((clip,) if clip else (), images, torch.tensor([len(images)]))
        said = translate_batch(trained, batch, search=trained.recipe.search)[0]
        seconds = time.perf_counter() - started
        yield Segment(start_s, end_s, said, is_final, is_whole, seconds, moments)


def or_data_error(name: str, images: Iterator[TimedImage]) -> Iterator[TimedImage]:
    """Yields images; raises DataError for all errors of a clip that a user can mend."""
    while (image := result_or_error(name, lambda: next(images, None))) is not None:
        if isinstance(image, DataError):
            raise image
        yield image
