"""The two losses of the paper: CTC on glosses and cross-entropy on text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch.nn import functional

from slt_fast.data.batching import Vocabularies
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.vocabulary import BLANK, PAD
from slt_fast.device import to_device
from slt_fast.model.network import Output


class Counts(NamedTuple):
    """What each loss of a step is divided by."""

    text: int  # tokens, with <eos>
    ctc: int  # glosses

    def plus(self, other: Counts) -> Counts:
        """Returns the sum of both."""
        return Counts(self.text + other.text, self.ctc + other.ctc)


def counts_of(
    clips: Iterable[AnnotatedClip], vocabularies: Vocabularies, *, recognises: bool = True
) -> Counts:
    """Counts the tokens and glosses of the clips of a step.

    Args:
        clips: The clips.
        vocabularies: Vocabularies of the network.
        recognises: Whether the network recognises glosses; if not, none is counted.
    """
    tokens = glosses = 0
    for clip in clips:
        tokens += len(vocabularies.encode_text(clip.text)) + 1
        glosses += len(clip.glosses or ()) if recognises else 0
    return Counts(tokens, glosses)


def translation_loss(
    output: Output,
    glosses: torch.Tensor,
    gloss_lengths: torch.Tensor,
    text: torch.Tensor,
    counts: Counts,
    *,
    ctc_weight: float = 1.0,
    text_weight: float = 1.0,
    label_smoothing: float = 0.0,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Computes the weighted sum of both losses, in float32.

    The losses of clips are shares of their step: however a step is divided, they add up to the same
    loss, and so do their gradients.

    Args:
        output: Output of the network for these clips; its text logits predict text[:, 1:].
        glosses: int64 [B, longest], padded; on the CPU, as all lengths, a GPU waits for none, but
            torch's own CTC waits for the GPU.
        gloss_lengths: int64 [B]; clips with 0 have no glosses and no share in the CTC loss.
        text: int64 [B, S], from <bos> to <eos>, padded with 0.
        counts: Tokens and glosses of the whole step, of which these clips may be a part.
        ctc_weight: Weight of the CTC loss per gloss.
        text_weight: Weight of the cross-entropy per token.
        label_smoothing: Label smoothing of the cross-entropy.

    Returns:
        The sum to minimise, and its parts `text` and, if there are glosses, `ctc`.

    Raises:
        ValueError: A clip has more glosses than CTC can align with its frames.
    """
    summed = functional.cross_entropy(
        output.text_logits.float().flatten(0, 1),
        text[:, 1:].flatten(),
        ignore_index=PAD,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    parts = {"text": summed / counts.text}
    total = text_weight * parts["text"]
    gloss_lengths, lengths = gloss_lengths.cpu(), output.gloss_lengths.cpu()
    glossed = gloss_lengths > 0
    if glossed.any():
        _check_ctc_lengths(lengths, glosses.cpu(), gloss_lengths)
        log_probabilities = output.gloss_logits.float().log_softmax(-1)
        targets = to_device(glosses, log_probabilities.device)
        if not glossed.all():
            numbers = to_device(glossed.nonzero().flatten(), targets.device)
            log_probabilities, targets = log_probabilities[numbers], targets[numbers]
        summed = functional.ctc_loss(
            log_probabilities.transpose(0, 1),
            targets,
            lengths[glossed],
            gloss_lengths[glossed],
            blank=BLANK,
            reduction="sum",
        )
        parts["ctc"] = summed / counts.ctc
        total = total + ctc_weight * parts["ctc"]
    return total, {name: part.detach() for name, part in parts.items()}


def frames_needed(glosses: torch.Tensor, gloss_lengths: torch.Tensor) -> torch.Tensor:
    """Returns CTC's fewest frames of each clip: its glosses, and blanks between equal ones.

    Args:
        glosses: int64 [B, longest], padded.
        gloss_lengths: int64 [B].

    Returns:
        int64 [B].
    """
    later, earlier = glosses[:, 1:], glosses[:, :-1]
    places = torch.arange(later.shape[1], device=glosses.device) + 1
    return gloss_lengths + ((later == earlier) & (places < gloss_lengths.unsqueeze(1))).sum(1)


def _check_ctc_lengths(
    lengths: torch.Tensor, glosses: torch.Tensor, gloss_lengths: torch.Tensor
) -> None:
    """Raises ValueError if a clip is too short for its glosses and blanks between equal ones."""
    needed = frames_needed(glosses, gloss_lengths)
    for clip in (lengths < needed).nonzero().flatten().tolist():
        raise ValueError(
            f"CTC: clip {clip} of the batch: found {int(lengths[clip])} frames for "
            f"{int(gloss_lengths[clip])} glosses; expected at least {int(needed[clip])}"
        )
