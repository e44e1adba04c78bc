"""Gloss sequences from CTC logits (Graves et al., 2006)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn.functional import pad

from slt_fast.data.vocabulary import BLANK
from slt_fast.inference.search import check_found


def greedy_ctc(logits: torch.Tensor, lengths: torch.Tensor) -> list[list[int]]:
    """Decodes the best path: the likeliest token of each step, without repeats and blanks.

    Args:
        logits: [B, T, G]; 0 is the blank.
        lengths: int64 [B], valid steps of each clip.

    Returns:
        B lists of tokens.
    """
    paths = logits.argmax(-1).cpu()
    return [
        [token for token in path[:length].unique_consecutive().tolist() if token != BLANK]
        for path, length in zip(paths, lengths.tolist(), strict=True)
    ]


class Labelling(NamedTuple):
    """A sequence of tokens without blanks, and the log of the sum over its alignments."""

    tokens: list[int]
    log_probability: float


class _Beams(NamedTuple):
    """K sequences of each clip, with the sums over their alignments to the steps so far."""

    tokens: torch.Tensor  # [B, K, longest], padded by blanks
    sizes: torch.Tensor  # [B, K], tokens of each sequence
    last: torch.Tensor  # [B, K], the last token of each; a blank if there is none
    common: torch.Tensor  # [B, K, K], number of first tokens that two sequences share
    blank: torch.Tensor  # [B, K], log probability of the alignments that end in a blank
    token: torch.Tensor  # [B, K], log probability of those that end in the last token

    def total(self) -> torch.Tensor:
        """Returns the log probability of all alignments [B, K]."""
        return torch.logaddexp(self.blank, self.token)


def ctc_beam_search(
    logits: torch.Tensor, lengths: torch.Tensor, beam_size: int
) -> list[list[Labelling]]:
    """Finds likely sequences by prefix beam search (Graves, 2012; Hannun et al., 2014).

    The probability of a sequence is the sum over its alignments. After each step the likeliest
    beginnings are kept. One that is dropped and found again has lost its earlier alignments, so a
    narrow beam may miss the likeliest sequence and understate probabilities. Nothing else is lost:
    that only beam_size + 1 tokens of a step extend sequences changes no result. The result of a
    clip does not depend on the other clips of the batch.

    Args:
        logits: [B, T, G]; 0 is the blank.
        lengths: int64 [B], valid steps of each clip.
        beam_size: Sequences kept for each clip; 1 is not greedy_ctc, which sums up nothing.

    Returns:
        Up to beam_size sequences of each clip, the likeliest first.

    Raises:
        UserError: Logits are not numbers.
        ValueError: The beam is less than 1.
    """
    if beam_size < 1:
        raise ValueError(f"ctc_beam_search: found beam_size {beam_size}; expected at least 1")
    # On the CPU: a step is too little work for a GPU.
    steps = logits.detach().float().log_softmax(-1).cpu()
    B, T, G = steps.shape
    is_padding = torch.arange(T) >= lengths.cpu().unsqueeze(1)
    steps[is_padding] = torch.full((G,), -torch.inf).index_fill(0, torch.tensor(BLANK), 0)
    # An extension by a less likely token ranks behind K others, which are those of the same
    # sequence by all of these tokens but its last.
    values, tokens = steps[:, :, BLANK + 1 :].topk(min(beam_size + 1, G - 1))
    beams = _empty_beams(B, beam_size)
    for step in range(T):
        beams = _next_beams(beams, steps[:, step], values[:, step], tokens[:, step] + BLANK + 1)
    found = _labellings(beams)
    check_found("ctc_beam_search", found)
    return found


def _empty_beams(B: int, K: int) -> _Beams:
    """Returns the empty sequence as the first of K; the others are impossible."""
    impossible, blanks = torch.full((B, K), -torch.inf), torch.full((B, K), BLANK)
    certain = impossible.index_fill(1, torch.tensor(0), 0)
    none, zeros = blanks.new_empty(B, K, 0), torch.zeros(B, K, K, dtype=torch.long)
    return _Beams(none, zeros[:, 0], blanks, zeros, certain, impossible)


def _next_beams(
    beams: _Beams, step: torch.Tensor, values: torch.Tensor, tokens: torch.Tensor
) -> _Beams:
    """Returns the K likeliest sequences after one more step.

    Args:
        beams: Those before the step.
        step: Log probabilities of the step [B, G].
        values: Those of the tokens that may extend a sequence [B, N].
        tokens: These tokens, int64 [B, N].
    """
    is_prefix = _is_prefix(beams)
    from_prefix = _before(beams, beams.last).masked_fill(~is_prefix, -torch.inf).amax(1)
    blank = beams.total() + step[:, BLANK].unsqueeze(1)
    token = torch.logaddexp(beams.token, from_prefix) + step.gather(1, beams.last)
    longer = _before(beams, tokens) + values.unsqueeze(1)
    is_last = beams.last.unsqueeze(2) == tokens.unsqueeze(1)  # [B, K, N]
    is_kept = is_prefix.float() @ is_last.float() > 0
    longer = longer.masked_fill(is_kept, -torch.inf)
    return _likeliest(beams._replace(blank=blank, token=token), longer, tokens)


def _is_prefix(beams: _Beams) -> torch.Tensor:
    """Returns [B, K, K]: True if the first sequence is the second one without its last token."""
    sizes = beams.sizes.unsqueeze(2)
    is_prefix = (beams.common == sizes) & (beams.sizes.unsqueeze(1) == sizes + 1)
    # Impossible sequences may be copies of others.
    return is_prefix & beams.total().isfinite().unsqueeze(1)


def _before(beams: _Beams, tokens: torch.Tensor) -> torch.Tensor:
    """Returns the log probability of the alignments that tokens [B, N] may follow: [B, K, N].

    A token that repeats the last one extends a sequence only after a blank.
    """
    repeats = beams.last.unsqueeze(2) == tokens.unsqueeze(1)
    return torch.where(repeats, beams.blank.unsqueeze(2), beams.total().unsqueeze(2))


def _likeliest(beams: _Beams, longer: torch.Tensor, tokens: torch.Tensor) -> _Beams:
    """Chooses K of the sequences themselves and of those extended by a token.

    Args:
        beams: The sequences.
        longer: Log probabilities of the extended ones [B, K, N].
        tokens: The tokens, int64 [B, N].
    """
    K, N = longer.shape[1:]
    scores, chosen = torch.cat([beams.total(), longer.flatten(1)], dim=1).topk(K)
    is_longer = chosen >= K
    source = torch.where(is_longer, (chosen - K) // N, chosen)
    added = tokens.gather(1, (chosen - K) % N).masked_fill(~is_longer, BLANK)
    sizes, last, blank, token = (
        part.gather(1, source) for part in (beams.sizes, beams.last, beams.blank, beams.token)
    )
    lines = torch.take_along_dim(beams.tokens, source.unsqueeze(2), 1)
    lines = pad(lines, (0, 1), value=BLANK).scatter(2, sizes.unsqueeze(2), added.unsqueeze(2))
    common = torch.take_along_dim(beams.common, source.unsqueeze(2), 1)
    common = torch.take_along_dim(common, source.unsqueeze(1), 2)
    following = lines.gather(2, common)  # no sequence has grown by more than this token
    common += (following == following.transpose(1, 2)) & (following != BLANK)
    sizes += is_longer
    return _Beams(
        lines[:, :, : int(sizes.max())],
        sizes,
        last.where(~is_longer, added),
        common,
        blank.masked_fill(is_longer, -torch.inf),
        token.where(~is_longer, scores),
    )


def _labellings(beams: _Beams) -> list[list[Labelling]]:
    """Returns the possible sequences of each clip."""
    columns = (beams.tokens.tolist(), beams.sizes.tolist(), beams.total().tolist())
    return [
        [
            Labelling(tokens[:size], score)
            for tokens, size, score in zip(*rows, strict=True)
            if math.isfinite(score)
        ]
        for rows in zip(*columns, strict=True)
    ]
