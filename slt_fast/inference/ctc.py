"""Gloss sequences from CTC logits (Graves et al., 2006): best path and prefix beam search."""

from __future__ import annotations

import numpy as np
import torch

BLANK = 0


def greedy_ctc(logits: torch.Tensor, lengths: torch.Tensor) -> list[list[int]]:
    """Best path: the likeliest token of each step, repeats merged, blanks dropped.

    Args:
        logits: [B, T, G]; 0 is the blank.
        lengths: int64 [B], steps of each clip that count.

    Returns:
        B lists of tokens.
    """
    paths = logits.argmax(-1).cpu()
    return [
        [token for token in path[:length].unique_consecutive().tolist() if token != BLANK]
        for path, length in zip(paths, lengths.tolist(), strict=True)
    ]


def prefix_beam_search(logits: torch.Tensor, *, beam_size: int) -> list[int]:
    """The token sequence whose alignments together are likeliest, as far as the beam sees.

    Args:
        logits: [T, G] of one clip; 0 is the blank.
        beam_size: Prefixes kept after each step.

    Returns:
        Tokens.

    Raises:
        ValueError: A beam of less than 1.
    """
    if beam_size < 1:
        raise ValueError(f"prefix_beam_search: found beam_size {beam_size}; expected at least 1")
    log_probabilities = logits.double().log_softmax(-1).cpu().numpy()
    # Prefix -> log probability of ending in a blank, and in its last token.
    beams = {(): (0.0, -np.inf)}
    for step in log_probabilities:
        beams = _extend(beams, step, beam_size)
        best = sorted(beams, key=lambda prefix: -np.logaddexp(*beams[prefix]))[:beam_size]
        beams = {prefix: beams[prefix] for prefix in best}
    return list(max(beams, key=lambda prefix: np.logaddexp(*beams[prefix])))


def _extend(
    beams: dict[tuple[int, ...], tuple[float, float]], step: np.ndarray, beam_size: int
) -> dict[tuple[int, ...], tuple[float, float]]:
    """The prefixes that one more step gives, but for such as no beam of this size can keep."""
    grown: dict[tuple[int, ...], list[float]] = {}

    def add(prefix: tuple[int, ...], kind: int, value: float) -> None:
        entry = grown.setdefault(prefix, [-np.inf, -np.inf])
        entry[kind] = float(np.logaddexp(entry[kind], value))

    # A token outside these gives each prefix beam_size likelier ways to grow, and no prefix that is
    # in the beam already gains from it: leaving it out changes nothing.
    numbers = {BLANK + 1 + int(number) for number in np.argsort(-step[1:])[: beam_size + 1]}
    numbers |= {prefix[-1] for prefix in beams if prefix}
    for prefix, (blank, token) in beams.items():
        either = np.logaddexp(blank, token)
        add(prefix, 0, either + step[BLANK])
        for number in numbers:
            if prefix and number == prefix[-1]:
                add(prefix, 1, token + step[number])
                add((*prefix, number), 1, blank + step[number])
            else:
                add((*prefix, number), 1, either + step[number])
    return {prefix: (values[0], values[1]) for prefix, values in grown.items()}
