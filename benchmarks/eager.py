"""The operators as people write them in plain PyTorch.

They share no code with slt_fast. Results are checked against them in float64, and speedups are
relative to them.
"""

import torch
from torch.nn import functional as F


def attention_tokens(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Computes softmax(q k^T / sqrt(dk) + bias) v of [B, heads, N, channels], as in a ViT."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    scores = scores if bias is None else scores + bias
    return scores.softmax(dim=-1) @ v


def attention_channels(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Computes the same for one channel-major head, as in SAGAN (Zhang et al., 2019)."""
    queries, keys, values = (tensor[:, 0].transpose(1, 2) for tensor in (q, k, v))
    scores = torch.bmm(queries.transpose(1, 2) * q.shape[-1] ** -0.5, keys)
    out = torch.bmm(values, scores.softmax(dim=-1).transpose(1, 2))
    return out.transpose(1, 2)[:, None]


def block(
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor,
    gamma: torch.Tensor,
    encoding: torch.Tensor,
    *,
    key_channels: int,
    num_heads: int,
) -> torch.Tensor:
    """Computes h + gamma * attention(h), h = x + encoding, by a convolution and two products."""
    h = x + encoding
    B, C, H, W = h.shape
    qkv = F.conv2d(h, qkv_weight[:, :, None, None], qkv_bias).flatten(2)
    parts = qkv.split([key_channels, key_channels, C], dim=1)
    q, k, v = (part.reshape(B * num_heads, -1, H * W) for part in parts)
    scores = torch.bmm(q.transpose(1, 2) * q.shape[1] ** -0.5, k)
    out = torch.bmm(v, scores.softmax(dim=-1).transpose(1, 2))
    return gamma * out.reshape(B, C, H, W) + h


def add_encoding(x: torch.Tensor, encoding: torch.Tensor) -> torch.Tensor:
    return x + encoding


def sinusoid(C: int, H: int, W: int) -> torch.Tensor:
    """Computes the encoding, [C, H, W] float64, with rows in the first half of the channels."""

    def encode(length: int) -> torch.Tensor:
        frequencies = 10000.0 ** -(torch.arange(0, C // 2, 2).double() / (C // 2))
        angles = frequencies[:, None] * torch.arange(length).double()
        return torch.stack([angles.sin(), angles.cos()], dim=1).flatten(0, 1)

    rows, columns = encode(H)[:, :, None], encode(W)[:, None, :]
    return torch.cat([rows.expand(-1, H, W), columns.expand(-1, H, W)])
