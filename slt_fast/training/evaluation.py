"""Scores of a model on a split, and the translations behind them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.batching import Batch, BatchMaker, batches
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.input import flow_device
from slt_fast.data.loading import ClipDataset
from slt_fast.data.packing import in_groups, packed
from slt_fast.errors import DataError, ErrorHandler, UserError, handle
from slt_fast.inference.translate import Translation, encode_batch, evaluating, translate_batch
from slt_fast.metrics import (
    Score,
    clean_phoenix_gloss,
    flat_scores,
    most_common_share,
    translation_scores,
    warn_of_repeats,
    word_error_rate,
)
from slt_fast.model.encoder import Encoded
from slt_fast.model.network import Output
from slt_fast.progress_bar import ProgressBar
from slt_fast.recipe import SearchConfig
from slt_fast.training.losses import Counts, counts_of, frames_needed, translation_loss
from slt_fast.training.ranks import Ranks
from slt_fast.training.stopping import Stop

_LOSSES = Counts._fields


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on clips.

    Args:
        scores: Scores by name, of glosses only if clips have any to recognise.
        clips: The clips.
        translations: The translation of each clip.
        losses: Losses per token ("text") and per gloss ("ctc"), as training has them, but without
            augmentation and dropout. Of glosses only if CTC can align those of a clip.
    """

    scores: dict[str, Score]
    clips: list[AnnotatedClip]
    translations: list[Translation]
    losses: dict[str, float] = field(default_factory=dict)

    def value(self, name: str) -> float:
        """Returns a score or a loss by its name."""
        return self.losses[name] if name in self.losses else self.scores[name].value

    def most_common_share(self) -> float:
        """Returns the share (0 to 1) of the clips that got the most common translation."""
        return most_common_share([translation.text for translation in self.translations])

    def flat(self, split: str) -> dict[str, float | str]:
        """Returns the flat keys of metrics.json, such as test.bleu4_low and test.num_clips."""
        counts = {"most_common_share": self.most_common_share(), "num_clips": len(self.clips)}
        values = {**self.losses, **flat_scores(self.scores), **counts}
        return {f"{split}.{name}": value for name, value in values.items()}


def evaluate(
    trained: TrainedModel,
    dataset: ClipDataset,
    *,
    search: SearchConfig,
    on_error: ErrorHandler | None = None,
    ranks: Ranks | None = None,
    stop: Stop | None = None,
) -> Evaluation:
    """Translates and scores a split; leaves the network in the mode it was in.

    Warns if the model says the same sentence, or nothing, to most of the clips.

    Args:
        trained: The model, on the device that computes.
        dataset: The clips.
        search: Settings of the search.
        on_error: Called with each clip that cannot be read, which is left out; None raises it.
        ranks: The processes that share the work, each of which gets the whole result; None means
            this one.
        stop: Ends the program after a batch if a signal asked for it.

    Raises:
        DataError: A clip cannot be read and on_error is None.
        UserError: No clip can be read, or a batch needs more memory than there is.
    """
    ranks, stop = ranks or Ranks(), stop or Stop()
    with stop.ending_for_errors():
        found, losses = _translate(trained, dataset, search, on_error, ranks, stop)
    clips, translations = [], []
    for clip, said in zip(dataset.clips, found, strict=True):
        if isinstance(said, DataError):
            handle(said, on_error)
        else:
            clips.append(clip)
            translations.append(said)
    if not clips:
        raise UserError("scoring: found no readable clip; expected a split with at least one")
    scores = score(clips, translations, recognises=trained.recipe.input.has_images)
    texts = [translation.text for translation in translations]
    warn_of_repeats(texts, f"{clips[0].split} translations")
    return Evaluation(scores, clips, translations, losses)


def _translate(
    trained: TrainedModel,
    dataset: ClipDataset,
    search: SearchConfig,
    on_error: ErrorHandler | None,
    ranks: Ranks,
    stop: Stop,
) -> tuple[list[Translation | DataError], dict[str, float]]:
    """Returns the translation of each clip, or its error; without on_error raises the first.

    The losses are those of all clips that could be read.
    """
    network, was_training = trained.network, trained.network.training
    network.eval()
    ours = range(ranks.rank, len(dataset), ranks.number)
    found: list[Translation | DataError] = []
    sums = torch.zeros(2 * len(_LOSSES), dtype=torch.float64)
    bar = ProgressBar(total=len(ours), desc="translating", unit="clip", disable=not ranks.is_first)
    with bar:
        for batch in batches_to_score(trained, dataset, ours):
            said: Iterator[Translation] = iter([])
            errors = iter(batch.errors)
            if batch.errors and on_error is None:
                raise batch.errors[0]
            if batch.clips:
                encoded = encode_batch(trained, batch)
                said = iter(translate_batch(trained, batch, search=search, encoded=encoded))
                sums += _losses(trained, batch, encoded)
            found += [next(said) if is_good else next(errors) for is_good in batch.is_good]
            bar.update(len(batch.is_good))
            stop.end_if_asked()
    network.train(was_training)
    ranks.sum(sums)
    totals, counts = sums.view(2, -1).tolist()
    parts = zip(_LOSSES, totals, counts, strict=True)
    losses = {name: total / count for name, total, count in parts if count}
    shared, numbers = ranks.gather(found), range(len(dataset))
    return [shared[index % ranks.number][index // ranks.number] for index in numbers], losses


def batches_to_score(
    trained: TrainedModel, dataset: ClipDataset, numbers: Sequence[int]
) -> Iterator[Batch]:
    """Yields clips of a split, by number, in batches of no more frames than training computes."""
    settings, config = trained.recipe.training, trained.recipe.input
    device = flow_device(config, next(trained.network.parameters()).device)
    groups = in_groups(numbers, settings.batch_size)
    if most := settings.frames_at_once:  # reading reports bad clips
        frames = dataset.num_frames(on_error=lambda _: None)
        groups = [part for group in groups for part in packed(group, frames, most)]
    maker = BatchMaker(trained.vocabularies, config, device=device)
    num_workers = dataset.num_workers(settings.num_workers)
    return batches(dataset, maker, groups, num_workers=num_workers)


def _losses(trained: TrainedModel, batch: Batch, encoded: Encoded) -> torch.Tensor:
    """Returns the sums of the losses of a batch, then the tokens and glosses they are sums of.

    Unknown glosses are all the same token. CTC needs a frame between two of them, and clips that
    lack it have no share in its loss.
    """
    settings, text = trained.recipe.training, batch.text.to(encoded.memory.device)
    fits = frames_needed(batch.glosses, batch.gloss_lengths) <= batch.lengths
    gloss_lengths = batch.gloss_lengths * fits
    with evaluating(trained, batch):
        logits = trained.network.decode(encoded, text[:, :-1])
        _, losses = translation_loss(
            Output(encoded.gloss_logits, encoded.lengths, logits),
            batch.glosses,
            gloss_lengths,
            text,
            Counts(1, 1),
            label_smoothing=settings.label_smoothing,
        )
    tokens = counts_of(batch.clips, trained.vocabularies).text
    counts = Counts(tokens, int(gloss_lengths.sum()))
    values = [float(losses.get(name, 0.0)) for name in _LOSSES]
    return torch.tensor([*values, *counts], dtype=torch.float64)


def score(
    clips: Sequence[AnnotatedClip], translations: Sequence[Translation], *, recognises: bool = True
) -> dict[str, Score]:
    """Scores translations against the clips' own annotations, never a decoded copy of them.

    Args:
        clips: The clips.
        translations: What a model says of them.
        recognises: Whether the model recognises glosses; if not, none is scored.

    Raises:
        ValueError: There is no clip.
        UserError: No clip has a gloss to recognise.
    """
    hypotheses = [translation.text for translation in translations]
    scores = translation_scores(hypotheses, [clip.text for clip in clips])
    glossed = [
        (_scored_glosses(clip, translation.glosses), _scored_glosses(clip, clip.glosses))
        for clip, translation in zip(clips, translations, strict=True)
        if recognises and clip.glosses is not None
    ]
    if glossed:
        recognised, true = zip(*glossed, strict=True)
        scores |= word_error_rate(recognised, true)
    return scores


def _scored_glosses(clip: AnnotatedClip, glosses: tuple[str, ...]) -> str:
    line = " ".join(glosses)
    return clean_phoenix_gloss(line) if clip.gloss_convention == "phoenix14t" else line
