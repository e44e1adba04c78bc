"""From clips to sentences: search on the decoder, best path on the gloss head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from slt_fast.data.batching import Batch, ClipDataset, Vocabularies, batches, too_many_frames
from slt_fast.data.clip import Clip, FrameSource
from slt_fast.data.input import flow_device
from slt_fast.data.vocabulary import BOS, EOS
from slt_fast.device import autocast
from slt_fast.inference.ctc import greedy_ctc
from slt_fast.inference.search import beam_search
from slt_fast.model.encoder import Encoded
from slt_fast.model.network import TranslationNetwork

if TYPE_CHECKING:
    from slt_fast.checkpoint import TrainedModel


@dataclass(frozen=True)
class Translation:
    """What the network says of a clip; glosses is empty for a model trained without them."""

    text: str
    glosses: tuple[str, ...]


@torch.no_grad()
def translate_images(
    model: TranslationNetwork,
    vocabularies: Vocabularies,
    images: torch.Tensor,
    lengths: torch.Tensor,
    *,
    beam_size: int,
    max_length: int,
) -> list[Translation]:
    """Translates packed clips.

    Args:
        model: In evaluation mode; its device computes.
        vocabularies: Of the model.
        images: float [sum(T), 3, H, W] in [0, 1], one clip after the other.
        lengths: int64 [B], frames of each clip.
        beam_size: Beams of the search; 1 is greedy.
        max_length: Longest text in tokens.

    Returns:
        One translation a clip.
    """
    device = next(model.parameters()).device
    encoded = model.encode(images.to(device), lengths.to(device))
    repeated = Encoded(*(part.repeat_interleave(beam_size, dim=0) for part in encoded))
    texts = beam_search(
        lambda tokens: model.decode(repeated, tokens)[:, -1],
        num_clips=len(lengths),
        beam_size=beam_size,
        max_length=max_length,
        begin=BOS,
        end=EOS,
        device=device,
    )
    glosses = greedy_ctc(encoded.gloss_logits, encoded.lengths)
    return [
        Translation(vocabularies.text.decode(text), tuple(vocabularies.gloss.decode(line).split()))
        for text, line in zip(texts, glosses, strict=True)
    ]


def translate_batch(trained: TrainedModel, batch: Batch, *, beam_size: int) -> list[Translation]:
    """Translates the clips of a batch with a trained model, in its own precision.

    Args:
        trained: The model; its device computes.
        batch: Clips; their texts and glosses are not looked at.
        beam_size: Beams of the search; 1 is greedy.

    Returns:
        One translation a clip, in the order of the batch.

    Raises:
        ValueError: More frames than the device's memory holds.
    """
    settings, device = trained.recipe.training, next(trained.network.parameters()).device
    try:
        with autocast(device, settings.precision):
            return translate_images(
                trained.network,
                trained.vocabularies,
                batch.images,
                batch.lengths,
                beam_size=beam_size,
                max_length=settings.max_text_length,
            )
    except torch.OutOfMemoryError as error:
        raise ValueError(too_many_frames(batch.clips, len(batch.images), device)) from error


def translate_source(trained: TrainedModel, source: FrameSource) -> Translation:
    """Translates a video.

    Args:
        trained: The model; its device computes.
        source: Where the frames come from.

    Raises:
        DataError: A video that cannot be read.
        ValueError: Frames too small for optical flow, or more than the device's memory holds.
    """
    config, device = trained.recipe.input, next(trained.network.parameters()).device
    clip = Clip(source.name, source, "", None, None, "", source.name)
    dataset = ClipDataset([clip], config, device=flow_device(config, device))
    (batch,) = batches(dataset, trained.vocabularies, batch_size=1)
    for error in batch.errors:
        raise error
    return translate_batch(trained, batch, beam_size=trained.recipe.training.beam_size)[0]
