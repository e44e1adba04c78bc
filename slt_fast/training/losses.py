"""The two losses of the paper: CTC on glosses and cross-entropy on text."""

from __future__ import annotations

import torch
from torch.nn import functional

from slt_fast.data.vocabulary import BLANK, PAD
from slt_fast.model.translator import Output


def translation_loss(
    output: Output,
    glosses: torch.Tensor,
    gloss_lengths: torch.Tensor,
    text: torch.Tensor,
    *,
    ctc_weight: float = 1.0,
    text_weight: float = 1.0,
    label_smoothing: float = 0.0,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The weighted sum of both losses, in float32.

    Args:
        output: Of the Translator for these clips; its text logits predict text[:, 1:].
        glosses: int64 [B, longest], padded.
        gloss_lengths: int64 [B]; a clip with 0 has no glosses and no share in the CTC loss.
        text: int64 [B, S], from <bos> to <eos>, padded with 0.
        ctc_weight: Weight of the CTC loss (mean over clips of the loss per gloss).
        text_weight: Weight of the cross-entropy (mean over tokens, padding left out).
        label_smoothing: Of the cross-entropy.

    Returns:
        The sum to minimise, and its parts `ctc` (only where there are glosses) and `text`.

    Raises:
        ValueError: More glosses than CTC can align with a clip's frames.
    """
    parts = {
        "text": functional.cross_entropy(
            output.text_logits.float().flatten(0, 1),
            text[:, 1:].flatten(),
            ignore_index=PAD,
            label_smoothing=label_smoothing,
        )
    }
    total = text_weight * parts["text"]
    glossed = gloss_lengths > 0
    if glossed.any():
        parts["ctc"] = _ctc_loss(
            output.gloss_logits[glossed],
            output.gloss_lengths[glossed],
            glosses[glossed],
            gloss_lengths[glossed],
        )
        total = total + ctc_weight * parts["ctc"]
    return total, {name: part.detach() for name, part in parts.items()}


def _ctc_loss(
    logits: torch.Tensor,
    lengths: torch.Tensor,
    glosses: torch.Tensor,
    gloss_lengths: torch.Tensor,
) -> torch.Tensor:
    inside = torch.arange(1, glosses.shape[1], device=glosses.device) < gloss_lengths.unsqueeze(1)
    repeats = ((glosses[:, 1:] == glosses[:, :-1]) & inside).sum(1)
    needed = gloss_lengths + repeats
    if (lengths < needed).any():  # otherwise the loss is infinite
        clip = int((lengths < needed).nonzero()[0])
        raise ValueError(
            f"CTC: found {int(lengths[clip])} frames for {int(gloss_lengths[clip])} glosses; "
            f"expected at least {int(needed[clip])}"
        )
    log_probabilities = logits.float().log_softmax(-1).transpose(0, 1)
    return functional.ctc_loss(log_probabilities, glosses, lengths, gloss_lengths, blank=BLANK)
