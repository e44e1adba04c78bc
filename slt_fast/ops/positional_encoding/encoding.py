"""Sinusoidal encoding of the two coordinates of a map.

Channels 0..C/2-1 encode the row i, channels C/2..C-1 the column j. In each half, with D = C/2 and
k = 0..D/2-1: channel 2k = sin(pos / 10000^(2k/D)), channel 2k+1 = cos(pos / 10000^(2k/D)), pos
counted from 0 (Vaswani et al., 2017, in two dimensions as in Wang and Liu, 2021).
"""

import functools
from typing import Any

import torch


def positional_encoding_2d(
    C: int,
    H: int,
    W: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    channels_last: bool = False,
) -> torch.Tensor:
    """Returns the encoding [C, H, W], computed in float64 once for each size and then rounded.

    All callers share one tensor of a size: do not write to it. With channels_last the channels of a
    position are adjacent in memory.

    Raises:
        ValueError: C not divisible by 4, or a type that is not floating-point.
    """
    if C % 4 or C <= 0:
        raise ValueError(f"positional encoding: found {C} channels; expected a multiple of 4")
    if not dtype.is_floating_point:
        raise ValueError(f"positional encoding: found {dtype}; expected a floating-point type")
    return kept_encoding(C, H, W, dtype, torch.device(device), channels_last)


def kept_encoding(
    C: int, H: int, W: int, dtype: torch.dtype, device: torch.device, channels_last: bool
) -> torch.Tensor:
    """Returns the encoding without checks, which count in a call of microseconds."""
    if torch.compiler.is_compiling():  # a fake tensor must not stay in the cache
        return _encoding(C, H, W, dtype, device, channels_last)
    return _cached_encoding(C, H, W, dtype, device, channels_last)


def sinusoidal_encoding(
    length: int, channels: int, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Encodes one coordinate: [length, channels] float64, sine and cosine interleaved."""
    k = torch.arange(0, channels, 2, dtype=torch.float64, device=device)
    positions = torch.arange(length, dtype=torch.float64, device=device)
    angles = positions[:, None] / 10000 ** (k / channels)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def _encoding(
    C: int, H: int, W: int, dtype: torch.dtype, device: torch.device, channels_last: bool
) -> torch.Tensor:
    # Cached tensors must not carry the mode of the first caller (inference, autocast).
    with torch.inference_mode(False), torch.no_grad():
        # A compiled model computes the table in each call, so it must not copy it from the host.
        where = device if device.type == "cuda" else "cpu"
        rows = sinusoidal_encoding(H, C // 2, where).T[:, :, None].expand(-1, H, W)
        columns = sinusoidal_encoding(W, C // 2, where).T[:, None, :].expand(-1, H, W)
        encoding = torch.cat([rows, columns])
        if channels_last:
            encoding = encoding.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        return encoding.to(device, dtype)


@functools.lru_cache(maxsize=64)
def _cached_encoding(*arguments: Any) -> torch.Tensor:
    with torch._C._DisableFuncTorch():  # nor the wrapper of torch.func.grad
        return _encoding(*arguments)
