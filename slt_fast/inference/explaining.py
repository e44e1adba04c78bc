"""What a model saw and recognised while it translated a clip, in time."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.batching import PackedClips
from slt_fast.inference.attention import ClipAttention, attention_of
from slt_fast.inference.translate import Translation, encode_batch


@dataclass(frozen=True)
class Explanation:
    """What a model saw in a clip of T frames that it translated.

    Args:
        words: The S units of the text, in order: words, subwords or characters.
        attention: Where it looked for each of them and for the end; None for a model without 2-D
            attention.
        glosses: The G glosses that it recognised, each once, in order of their first occurrence.
        gloss_probabilities: float32 [G, T]: the probability that CTC gives each gloss at each
            frame. It is high at one frame or few of a sign, and says little of how long it lasts.
    """

    words: list[str]
    attention: ClipAttention | None
    glosses: list[str]
    gloss_probabilities: torch.Tensor


def explain(trained: TrainedModel, clip: PackedClips, said: Translation) -> Explanation:
    """Explains a translation by a model in evaluation mode.

    Args:
        trained: The model.
        clip: A single clip.
        said: What the model says of it.

    Raises:
        UserError: The clip has more frames than the device's memory holds.
    """
    vocabularies = trained.vocabularies
    tokens = vocabularies.encode_text(said.text)
    attention = attention_of(trained, clip, tokens) if trained.recipe.model.attention else None
    glosses = list(dict.fromkeys(said.glosses))
    probabilities = torch.zeros(0, len(clip.images))
    if glosses:
        logits = encode_batch(trained, clip).gloss_logits[0].float()
        numbers = vocabularies.gloss.encode(" ".join(glosses))
        probabilities = logits.softmax(-1).T.cpu()[numbers]
    return Explanation(vocabularies.units.split(said.text), attention, glosses, probabilities)
