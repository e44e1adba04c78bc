"""From packed clips, one after the other, to clips that are padded to one length."""

from __future__ import annotations

import torch

from slt_fast.ops.positional_encoding import sinusoidal_encoding


def counts_of_packed(lengths: torch.Tensor, packed: torch.Tensor, kind: str) -> list[int]:
    """Returns the lengths of packed clips as numbers, for which the host waits for a GPU.

    Args:
        lengths: int64 [B].
        packed: [sum(T), ...], what is packed.
        kind: Its name, for the error.

    Raises:
        ValueError: The lengths are not positive, or have another sum.
    """
    counts, total = lengths.tolist(), len(packed)
    if sum(counts) != total or min(counts, default=0) < 1:
        expected = "expected positive ones with that sum"
        raise ValueError(f"encoder: found lengths {counts} for {total} {kind}; {expected}")
    return counts


def padding_mask(lengths: torch.Tensor, T: int) -> torch.Tensor:
    """Returns bool [B, T], True = padding, for lengths int64 [B]."""
    return torch.arange(T, device=lengths.device) >= lengths.unsqueeze(1)


def time_positions(x: torch.Tensor) -> torch.Tensor:
    """Returns sinusoidal time positions [T, D] for x [B, T, D]."""
    T, D = x.shape[1:]
    return sinusoidal_encoding(T, D, x.device).to(x)
