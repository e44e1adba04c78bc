"""Scores of a model on a split, and the translations behind them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.batching import ClipDataset, batches
from slt_fast.data.clip import Clip
from slt_fast.errors import ErrorHandler, handle
from slt_fast.inference.translate import Translation, translate_batch
from slt_fast.metrics import (
    clean_phoenix_gloss,
    most_common_share,
    translation_scores,
    word_error_rate,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """A scored split.

    Args:
        scores: Flat: bleu1 to bleu4 with signature, rouge_l, chrf, exact_match (percent), the same
            without the dot, wer with its parts (percent, where there are glosses), num_clips.
        clips: The clips, in the order of the translations.
        translations: What the model said.
    """

    scores: dict[str, Any]
    clips: list[Clip]
    translations: list[Translation]


def evaluate(
    trained: TrainedModel,
    dataset: ClipDataset,
    *,
    beam_size: int,
    on_error: ErrorHandler | None = None,
) -> Evaluation:
    """Translates and scores a split; leaves the model in the mode it was in.

    Warns of a model that says the same sentence to most of the clips.

    Args:
        trained: The model, on the device that is to compute.
        dataset: The clips.
        beam_size: Beams of the search; 1 is greedy.
        on_error: Called with each clip that cannot be read, which is then left out; None raises it.

    Raises:
        DataError: A clip that cannot be read, if on_error is None.
    """
    model = trained.network
    clips, translations = [], []
    was_training = model.training
    model.eval()
    num_workers = dataset.num_workers(trained.recipe.training.num_workers)
    size = trained.recipe.training.batch_size
    loader = batches(dataset, trained.vocabularies, batch_size=size, num_workers=num_workers)
    with tqdm(total=len(dataset), desc="translating", unit="clip", leave=False) as bar:
        for batch in loader:
            for error in batch.errors:
                handle(error, on_error)
            bar.update(len(batch.clips) + len(batch.errors))
            if not batch.clips:
                continue
            translations += translate_batch(trained, batch, beam_size=beam_size)
            clips += batch.clips
    model.train(was_training)
    scores = score(clips, translations)
    if scores["most_common_share"] > 0.5 and len(clips) > 1:
        split = clips[0].split
        logger.warning("more than half of the %s translations are the same sentence", split)
    return Evaluation(scores, clips, translations)


def score(clips: list[Clip], translations: list[Translation]) -> dict[str, Any]:
    """The scores of translations against the clips' own annotations, never a decoded copy of them.

    Raises:
        ValueError: If there is no clip.
    """
    hypotheses = [translation.text for translation in translations]
    scores = translation_scores(hypotheses, [clip.text for clip in clips])
    glossed = [
        [_scored_glosses(clip, glosses) for glosses in (translation.glosses, clip.glosses)]
        for clip, translation in zip(clips, translations, strict=True)
        if clip.glosses is not None
    ]
    if glossed:
        scores |= word_error_rate(*map(list, zip(*glossed, strict=True)))
    share = most_common_share(hypotheses)
    return {**scores, "most_common_share": share, "num_clips": len(clips)}


def _scored_glosses(clip: Clip, glosses: tuple[str, ...]) -> str:
    line = " ".join(glosses)
    return clean_phoenix_gloss(line) if clip.gloss_convention == "phoenix14t" else line
