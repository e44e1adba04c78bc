"""Beam search on the decoder; a beam of 1 is greedy search."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch

from slt_fast.errors import UserError


class Found(NamedTuple):
    """A sequence that a search found, without begin and end."""

    tokens: list[int]
    log_probability: float  # of the whole sequence, with its end
    length: int  # tokens of that probability

    def score(self, length_penalty: float) -> float:
        """Returns what sequences are ranked by (Wu et al., 2016: https://arxiv.org/abs/1609.08144).

        Args:
            length_penalty: Their alpha: 0 compares probabilities, more favours long sequences.
        """
        return self.log_probability / ((5 + self.length) / 6) ** length_penalty


def ranked(found: Iterable[Found], length_penalty: float) -> list[Found]:
    """Returns sequences from the best to the worst."""
    return sorted(found, key=lambda one: (one.score(length_penalty), one.tokens), reverse=True)


NextLogits = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def beam_search(
    next_logits: NextLogits,
    *,
    num_clips: int,
    beam_size: int,
    max_length: int,
    begin: int,
    end: int,
    length_penalty: float = 1.0,
    device: torch.device | str = "cpu",
) -> list[list[Found]]:
    """Finds the best sequences of each clip, as Found.score ranks them.

    A clip is done when beam_size of its sequences have ended. Its result does not depend on the
    other clips of the batch.

    Args:
        next_logits: Returns the logits [num_clips * beam_size, V] of the next token of sequences
            [num_clips * beam_size, S], clip by clip. Its second argument [num_clips * beam_size]
            says which sequence of the call before each of them continues.
        num_clips: Clips to search at once.
        beam_size: Sequences kept for each clip; 1 is greedy.
        max_length: Most tokens after `begin`; longer sequences are cut off.
        begin: First token of every sequence.
        end: Token that ends a sequence.
        length_penalty: As in Found.score.
        device: Device of the sequences.

    Returns:
        Up to beam_size sequences of each clip, the best first.

    Raises:
        ValueError: A beam or length is less than 1, or logits are not numbers.
    """
    if beam_size < 1 or max_length < 1:
        found = f"found beam_size {beam_size} and max_length {max_length}"
        raise ValueError(f"beam_search: {found}; expected at least 1")
    B, K = num_clips, beam_size
    tokens = torch.full((B * K, 1), begin, device=device)
    scores = torch.full((B, K), -torch.inf, device=device)
    scores[:, 0] = 0  # all beams start equal, so that only the first may grow
    first_rows = torch.arange(B, device=device).unsqueeze(1) * K
    continued = torch.arange(B * K, device=device)
    ended: list[list[Found]] = [[] for _ in range(B)]
    for length in range(1, max_length + 1):
        steps = next_logits(tokens, continued).float().log_softmax(-1)
        V = steps.shape[-1]
        # Each beam can end once, so that at least K of 2 K candidates continue.
        values, indices = (scores.flatten().unsqueeze(1) + steps).view(B, -1).topk(2 * K)
        rows, words = first_rows + indices // V, indices % V
        ends = words == end
        _collect(ended, tokens[rows[:, :K]], values[:, :K], ends[:, :K], length)
        scores, chosen = values.masked_fill(ends, -torch.inf).topk(K)
        rows, words = rows.gather(1, chosen), words.gather(1, chosen)
        continued = rows.flatten()
        tokens = torch.cat([tokens[continued], words.view(-1, 1)], dim=1)
        if all(len(sequences) == K for sequences in ended):
            break
    else:
        cut = torch.ones_like(scores, dtype=torch.bool)
        _collect(ended, tokens.view(B, K, -1), scores, cut, max_length)
    check_found("beam_search", ended)
    return [ranked(sequences, length_penalty) for sequences in ended]


def check_found(search: str, clips: Sequence[Sequence[object]]) -> None:
    """Raises UserError if a search found no sequence for a clip."""
    for number, sequences in enumerate(clips):
        if not sequences:
            found = f"clip {number}: found no sequence of finite probability"
            expected = "logits that are numbers, which too high a --learning-rate does not leave"
            raise UserError(f"{search}: {found}; expected {expected}")


def _collect(
    ended: list[list[Found]],
    tokens: torch.Tensor,
    scores: torch.Tensor,
    chosen: torch.Tensor,
    length: int,
) -> None:
    """Adds the chosen sequences [B, K, S], best first, until a clip has K of them."""
    K = scores.shape[1]
    for clip, beam in (chosen & scores.isfinite()).nonzero().tolist():  # syncs the GPU
        if len(ended[clip]) < K:
            score = scores[clip, beam].item()
            ended[clip].append(Found(tokens[clip, beam, 1:].tolist(), score, length))
