"""Looks for the known ways in which a trained model fails, and measures each."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

import torch

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.flow_images import motion_of
from slt_fast.data.input import InputConfig
from slt_fast.data.loading import ClipDataset
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.synthetic.signs import sign_for
from slt_fast.errors import ErrorHandler
from slt_fast.inference.attention import HARDLY, ClipAttention, attention_of, uniform_far_share
from slt_fast.metrics import deciding_score
from slt_fast.metrics.glosses import aligned
from slt_fast.training.evaluation import Evaluation, batches_to_score, evaluate

_LOOKED_AT = 8  # clips whose images and attention are looked at
_STILL = 0.25  # pixels of the images: a clip in which no pixel moves so far has no motion


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Args:
        name: What it is.
        found: The figures, as text.
        is_bad: Whether they are a sign of failure.
        means: What such a failure means.
        advice: What to do about it.
        figures: The figures by name.
    """

    name: str
    found: str
    is_bad: bool
    means: str
    advice: str
    figures: dict[str, float]


_NO_ATTENTION = Finding("attention", "none: trained with --no-attention", False, "", "", {})


def diagnose(
    trained: TrainedModel,
    train_set: ClipDataset,
    dev_set: ClipDataset,
    *,
    on_error: ErrorHandler | None = None,
) -> list[Finding]:
    """Scores a model on clips it learned from and on others, and looks for failures.

    Args:
        trained: The model, on the device that computes, in evaluation mode.
        train_set: Some of the clips it learned from.
        dev_set: Other clips.
        on_error: Called with each clip that cannot be read, which is left out; None raises it.

    Raises:
        DataError: A clip cannot be read and on_error is None.
        UserError: No clip can be read, or a batch needs more memory than there is.
    """
    search, config = trained.recipe.search, trained.recipe.input
    train, dev = (
        evaluate(trained, each, search=search, on_error=on_error) for each in (train_set, dev_set)
    )
    found = [gap(train, dev), *outputs(dev)]
    if not config.has_images:
        return found
    motions, attentions = _look(trained, dev_set, dev)
    found.append(locality(attentions) if attentions else _NO_ATTENTION)
    found += flow(motions, config) if config.input == "flow" else []
    return [*found, *minimal_pairs(dev)]


def to_json(findings: Sequence[Finding]) -> dict[str, object]:
    """Returns findings as plain values by name."""
    return {finding.name: asdict(finding) for finding in findings}


def gap(train: Evaluation, dev: Evaluation) -> Finding:
    """Compares clips that the model learned from with others: half of the score is a gap."""
    deciding = deciding_score([clip.text for part in (train, dev) for clip in part.clips])
    figures = {
        f"{split}.{name}": part.value(name)
        for split, part in (("train", train), ("dev", dev))
        for name in (deciding, "text", "ctc")
        if name in part.scores or name in part.losses
    }
    found = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
    ours, others = figures[f"train.{deciding}"], figures[f"dev.{deciding}"]
    if ours < 10:
        means = "The model has not even learned its training clips."
        advice = "Train longer, check the data, or try a higher --learning-rate."
        return Finding("train and dev", found, True, means, advice, figures)
    means = "A far lower score on dev: the training clips are learned by heart."
    advice = "More data or signers, more augmentation (--zoom, --shift, --vigour) or --dropout."
    return Finding("train and dev", found, others < ours / 2, means, advice, figures)


def outputs(evaluation: Evaluation) -> Iterator[Finding]:
    """Looks for repeated, empty, too short and too long translations."""
    texts = [said.text for said in evaluation.translations]
    (text, number), *_ = Counter(texts).most_common(1)
    yield Finding(
        "repeated translations",
        f"{number} of {len(texts)} are {text!r}",
        number > len(texts) / 2 and len(texts) > 1,
        "The video hardly matters: the decoder says what is likely in its training texts.",
        "Compare with slt-evaluate --probe blank; train longer, and check flow and glosses.",
        {"share": number / len(texts)},
    )
    empty = sum(not text.strip() for text in texts)
    yield Finding(
        "empty translations",
        f"{empty} of {len(texts)}",
        empty > 0,
        "The search ends at once.",
        "Raise --length-penalty (slt-evaluate --tune); look for empty training texts.",
        {"share": empty / len(texts)},
    )
    # Characters, because some languages have no spaces.
    length = sum(map(len, texts)) / max(1, sum(len(clip.text) for clip in evaluation.clips))
    yield Finding(
        "length of translations",
        f"{length:.2f} of the references' characters",
        not 0.7 <= length <= 1.4,
        "Translations are too short or too long, which BLEU punishes.",
        "Change --length-penalty (slt-evaluate --tune) or --max-text-length.",
        {"ratio": length},
    )


def locality(attentions: Sequence[ClipAttention]) -> Finding:
    """Measures how far the pixel-wise attention looks, and whether that changes anything."""
    far = sum(each.far_share for each in attentions) / len(attentions)
    change = sum(each.change for each in attentions) / len(attentions)
    uniform = uniform_far_share(*attentions[0].positions.shape[1:])
    gamma = attentions[0].gamma
    means = "The attention stays near its place, as a convolution does."
    advice = "Look at it with scripts/visualize_attention.py; train longer, or a larger map."
    if changes_nothing := change < HARDLY:
        means = "The attention changes hardly anything: it could be left out."
        advice = "Train longer, or begin with --gamma-start 0.5."
    return Finding(
        "attention",
        f"far {far:.1%}, uniform {uniform:.1%}, gamma {gamma:.3g}, changes {change:.2%}",
        changes_nothing or far < uniform / 2,
        means,
        advice,
        {"far_share": far, "uniform_far_share": uniform, "gamma": gamma, "change": change},
    )


def flow(motions: Sequence[torch.Tensor], config: InputConfig) -> Iterator[Finding]:
    """Looks for motion that the encoder cannot show, and for clips without any.

    Args:
        motions: For each clip, lengths of its motion over the bound, [T, H, W].
        config: Settings of the images.
    """
    beyond = sum(int((each >= 1).sum()) for each in motions)
    share = beyond / sum(each.numel() for each in motions)
    yield Finding(
        "motion beyond the bound",
        f"{share:.2%} of the pixels move by {config.flow_bound:g} or more",
        share > 0.05,
        "Fast motion looks alike.",
        "Train with a larger --flow-bound.",
        {"share": share},
    )
    still = sum(float(each.max()) * config.flow_bound < _STILL for each in motions)
    yield Finding(
        "clips without motion",
        f"{still} of {len(motions)}",
        still > 0,
        "Nothing is signed in them, or their frames are one and the same.",
        "Look at them with scripts/visualize_flow.py; check paths and frame rates.",
        {"share": still / len(motions)},
    )


def minimal_pairs(evaluation: Evaluation) -> Iterator[Finding]:
    """Looks for signs of the synthetic corpus taken for others that differ in one parameter.

    With agreement pairs of glosses share a sign, so there is nothing to look for.
    """
    by_parameter, substituted = Counter[str](), 0
    for clip, said in zip(evaluation.clips, evaluation.translations, strict=True):
        if not isinstance(clip.source, SyntheticSource) or clip.source.sides or not clip.glosses:
            return
        for recognised, true in aligned(list(said.glosses), list(clip.glosses)):
            if recognised is None or true is None or recognised == true:
                continue
            substituted += 1
            if len(differing := _differing(recognised, true)) < 2:
                by_parameter[differing[0] if differing else "nothing"] += 1
    number = sum(by_parameter.values())
    detail = ", ".join(f"{count} in {name}" for name, count in by_parameter.most_common())
    yield Finding(
        "signs that differ in one parameter",
        f"{number} of {substituted} substitutions" + (f": {detail}" if detail else ""),
        number >= 3 and number > substituted / 3,
        "The model sees most of a sign, but not this parameter.",
        "Handshape needs a larger --image-size, movement another --flow-preset or --flow-bound.",
        {"substitutions": substituted, "in_one": number, **by_parameter},
    )


def _differing(first: str, second: str) -> list[str]:
    """Returns the parameters in which two signs differ; none if they are the same."""
    ours, others = asdict(sign_for(first)), asdict(sign_for(second))
    return [name for name, value in ours.items() if value != others[name]]


def _look(
    trained: TrainedModel, dataset: ClipDataset, evaluation: Evaluation
) -> tuple[list[torch.Tensor], list[ClipAttention]]:
    """Returns motion of the first clips, if the images are flow, and attention, if there is any."""
    config, motions, attentions = trained.recipe.input, [], []
    pairs = zip(evaluation.clips, evaluation.translations, strict=True)
    for clip, said in islice(pairs, _LOOKED_AT):
        (batch,) = batches_to_score(trained, dataset, [dataset.clips.index(clip)])
        if config.input == "flow":
            motions.append(motion_of(batch.images.float().cpu(), encoder=config.flow_encoder))
        if trained.recipe.model.attention:
            tokens = trained.vocabularies.encode_text(said.text)
            attentions.append(attention_of(trained, batch, tokens))
    return motions, attentions
