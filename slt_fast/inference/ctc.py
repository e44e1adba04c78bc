"""Gloss sequences from CTC logits (Graves et al., 2006)."""

import torch

from slt_fast.data.vocabulary import BLANK


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
