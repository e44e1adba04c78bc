"""From clips to sentences: search on the decoder and on the gloss head."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.batching import PackedClips, too_many_frames
from slt_fast.data.clip import Clip
from slt_fast.data.frame_source import FrameRate, FrameSource
from slt_fast.data.glosses import gloss_numbers
from slt_fast.data.input import flow_device
from slt_fast.data.loading import load_images
from slt_fast.data.vocabulary import BOS, EOS, UNKNOWN_GLOSS
from slt_fast.device import autocast
from slt_fast.errors import DataError, UserError, is_out_of_memory, result_or_error
from slt_fast.inference.ctc import ctc_beam_search, greedy_ctc
from slt_fast.inference.search import Found, beam_search
from slt_fast.model.cached_decoder import CachedDecoder
from slt_fast.model.encoder import Encoded
from slt_fast.model.network import TranslationNetwork
from slt_fast.recipe import SearchConfig
from slt_fast.settings import check_value

logger = logging.getLogger(__name__)


class Candidate(NamedTuple):
    """A sentence with the score that ranks it; see slt_fast.inference.search.Found."""

    text: str
    score: float


@dataclass(frozen=True)
class Translation:
    """What the network says of a clip.

    Args:
        text: The sentence.
        glosses: The glosses; empty for a model trained without them, or that takes them.
        candidates: The sentences that the search found, the best first. Of equal ones, as subwords
            can spell a text in several ways, only the best is there.
    """

    text: str
    glosses: tuple[str, ...]
    candidates: tuple[Candidate, ...] = field(default=(), kw_only=True, compare=False)


def encode_batch(trained: TrainedModel, batch: PackedClips) -> Encoded:
    """Encodes a batch on the device and in the precision of the model, which is evaluating.

    Raises:
        UserError: The batch has more frames than the device's memory holds.
    """
    device = next(trained.network.parameters()).device
    with evaluating(trained, batch):
        return trained.network.encode(batch.images.to(device), batch.lengths.to(device))


def translate_batch(
    trained: TrainedModel,
    batch: PackedClips,
    *,
    search: SearchConfig,
    encoded: Encoded | None = None,
) -> list[Translation]:
    """Translates each clip of a batch, in order, on the device and in the precision of the model.

    The model is in evaluation mode.

    Args:
        trained: The model.
        batch: The clips.
        search: Settings of the search; gloss_beam_size is used if the model recognises glosses.
        encoded: What encode_batch returned for the batch; None encodes it.

    Raises:
        UserError: The batch has more frames than the device's memory holds.
    """
    encoded = encode_batch(trained, batch) if encoded is None else encoded
    with evaluating(trained, batch):
        found = search_texts(trained.network, encoded, search)
    words, glosses, alpha = trained.vocabularies, trained.vocabularies.gloss, search.length_penalty
    lines: list[list[int]] = [[] for _ in found]
    if trained.recognises_glosses:
        lines = _gloss_lines(encoded, search.gloss_beam_size)
    said = []
    for sequences, line in zip(found, lines, strict=True):
        best: dict[str, float] = {}
        for one in sequences:
            best.setdefault(words.decode_text(one.tokens), one.score(alpha))
        candidates = tuple(Candidate(*one) for one in best.items())
        signed = tuple(glosses.decode(line).split())
        said.append(Translation(candidates[0].text, signed, candidates=candidates))
    return said


@contextmanager
def evaluating(trained: TrainedModel, batch: PackedClips) -> Iterator[None]:
    """Computes without gradients, in the precision of the model.

    Raises:
        UserError: The batch has more frames than the device's memory holds.
    """
    device = next(trained.network.parameters()).device
    try:
        with torch.no_grad(), autocast(device, trained.recipe.training.precision):
            yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(too_many_frames(batch.clips, len(batch.images), device)) from error


def trained_rate(trained: TrainedModel, asked: FrameRate | None = None) -> FrameRate:
    """Returns the frames per second that a model's clips are resampled to.

    Args:
        trained: The model.
        asked: Another rate; None takes that of the training data, and warns if it is unknown.

    Raises:
        UserError: The rate asked for is neither "native" nor 1 to 1000, or the model takes glosses.
    """
    check_value("fps", FrameRate | None, asked)
    if not trained.recipe.input.has_images:
        if asked not in (None, "native"):
            expected = "expected none, as the model takes glosses and reads no video"
            raise UserError(f"fps: found {asked}; {expected}")
        return "native"
    if asked is not None:
        return asked
    if trained.trained_on.fps == "native":
        logger.warning("the checkpoint holds no frame rate: frames are not resampled (see --fps)")
    return trained.trained_on.fps


def translate_source(trained: TrainedModel, source: FrameSource) -> Translation:
    """Translates a video on the device of a model in evaluation mode.

    Raises:
        DataError: The video cannot be read, or its frames are too small for optical flow.
        UserError: The video has more frames than the device's memory holds, or the model takes
            glosses.
    """
    batch = read_source(trained, source)
    return translate_batch(trained, batch, search=trained.recipe.search)[0]


def read_source(trained: TrainedModel, source: FrameSource) -> PackedClips:
    """Reads a video as a batch of one clip; raises as translate_source."""
    check_has_images(trained, source.name)
    config, device = trained.recipe.input, next(trained.network.parameters()).device
    clip, maker = Clip(source.name, source), flow_device(config, device) or "cpu"
    try:
        images = result_or_error(source.name, lambda: load_images(clip, config, maker))
    except torch.OutOfMemoryError as error:
        raise UserError(too_many_frames([clip], source.num_frames(), device)) from error
    if isinstance(images, DataError):
        raise images
    return PackedClips((clip,), images, torch.tensor([len(images)]))


def check_has_images(trained: TrainedModel, name: str) -> None:
    """Raises UserError if a model takes glosses, and cannot see the video of this name."""
    if not trained.recipe.input.has_images:
        found = "a model that takes glosses instead of video"
        expected = "one that sees video; slt-translate --glosses translates glosses"
        raise UserError(f"{name}: found {found}; expected {expected}")


def translate_glosses(trained: TrainedModel, names: Sequence[str]) -> Translation:
    """Translates glosses; warns of those that the training data do not have.

    Raises:
        UserError: There is no gloss, or the model takes images.
    """
    if trained.recipe.input.has_images:
        found = f"a model that sees {trained.recipe.input.input} images"
        raise UserError(f"glosses: found {found}; expected one trained with input 'gloss'")
    if not names:
        raise UserError("glosses: found none; expected at least one")
    numbers = gloss_numbers(names, trained.vocabularies.gloss)
    pairs = zip(names, numbers.tolist(), strict=True)
    if unknown := [name for name, number in pairs if number == UNKNOWN_GLOSS]:
        logger.warning("glosses that the training data do not have: %s", ", ".join(unknown))
    batch = PackedClips((), numbers, torch.tensor([len(numbers)]))
    return translate_batch(trained, batch, search=trained.recipe.search)[0]


def search_texts(
    network: TranslationNetwork, encoded: Encoded, search: SearchConfig
) -> list[list[Found]]:
    """Returns the sequences that a search finds for each clip, the best first."""
    memory, mask = encoded.memory, encoded.memory_padding_mask
    return beam_search(
        CachedDecoder(network.decoder, memory, mask, search.beam_size),
        num_clips=len(encoded.lengths),
        beam_size=search.beam_size,
        max_length=search.max_text_length,
        begin=BOS,
        end=EOS,
        length_penalty=search.length_penalty,
        device=encoded.lengths.device,
    )


def _gloss_lines(encoded: Encoded, beam_size: int) -> list[list[int]]:
    """Returns the likeliest glosses of each clip; one beam takes the best path."""
    logits, lengths = encoded.gloss_logits, encoded.lengths
    if beam_size == 1:
        return greedy_ctc(logits, lengths)
    return [found[0].tokens for found in ctc_beam_search(logits, lengths, beam_size)]
