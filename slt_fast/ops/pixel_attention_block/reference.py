"""The block and its gradients in plain PyTorch; the kernels are tested against them."""

import torch

from slt_fast.ops.pixel_attention.operator import attention_weights
from slt_fast.ops.pixel_attention.reference import (
    pixel_attention_gradients,
    pixel_attention_reference,
)


def pixel_attention_block_reference(
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    positional_encoding: torch.Tensor | None,
    key_channels: int,
    num_heads: int,
    scale: float,
) -> torch.Tensor:
    """Computes the block by the formula."""
    h = with_encoding(x, positional_encoding)
    q, k, v = heads_of_map(h, qkv_weight, qkv_bias, key_channels, num_heads)
    attended = to_map(pixel_attention_reference(q, k, v, None, scale), x.shape)
    return h + gamma.reshape(()) * attended  # with no dimension, gamma leaves the type alone


def block_attention_weights(
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    *,
    key_channels: int,
    num_heads: int = 1,
    positional_encoding: torch.Tensor | None = None,
    scale: float | None = None,
) -> torch.Tensor:
    """Computes the weights [B, heads, H*W, H*W] of the block; arguments as for the block."""
    h = with_encoding(x, positional_encoding)
    q, k, _ = heads_of_map(h, qkv_weight, qkv_bias, key_channels, num_heads)
    return attention_weights(q, k, scale=scale)


def pixel_attention_block_gradients(
    gradient: torch.Tensor,
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    positional_encoding: torch.Tensor | None,
    key_channels: int,
    num_heads: int,
    scale: float,
) -> tuple[torch.Tensor | None, ...]:
    """Computes the gradients of all tensors from that of the output; differentiable."""
    # Under autocast the map may be wider than the weights; the backward pass runs outside of it.
    h = with_encoding(x, positional_encoding).to(qkv_weight.dtype)
    q, k, v = heads_of_map(h, qkv_weight, qkv_bias, key_channels, num_heads)
    attended = to_map(pixel_attention_reference(q, k, v, None, scale), x.shape)
    dgamma = (gradient * attended).sum().reshape(gamma.shape).to(gamma.dtype)
    scaled = (gradient * gamma.reshape(())).to(v.dtype)
    d_heads = pixel_attention_gradients(_heads(tokens_of(scaled), num_heads), q, k, v, None, scale)
    dqkv = torch.cat([_joined(part) for part in d_heads[:3]], dim=-1)
    flat = dqkv.reshape(-1, dqkv.shape[2])
    dweight = flat.mT @ tokens_of(h).flatten(0, 1).to(flat.dtype)
    dbias = None if qkv_bias is None else flat.sum(0)
    dx = gradient + (dqkv @ qkv_weight).mT.reshape(x.shape).to(gradient.dtype)
    dencoding = None
    if positional_encoding is not None:
        dencoding = dx.sum(0).to(positional_encoding.dtype)
    return dx, dweight, dbias, dgamma, dencoding


def tokens_of(maps: torch.Tensor) -> torch.Tensor:
    """[B, C, H, W] -> [B, N, C]; a view of a channels_last map."""
    B, C, H, W = maps.shape
    return maps.reshape(B, C, H * W).mT  # flatten has no rule in torch's older vmap


def heads_of_map(
    h: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    key_channels: int,
    num_heads: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Computes q, k, v [B, heads, N, channels a head] of a map, in its memory format."""
    if h.stride(1) == 1:
        qkv = torch.nn.functional.linear(tokens_of(h), qkv_weight, qkv_bias).mT
    else:  # a 1x1 convolution leaves the channels where they are
        qkv = torch.nn.functional.conv2d(h, qkv_weight[:, :, None, None], qkv_bias).flatten(2)
    parts = qkv.split([key_channels, key_channels, h.shape[1]], dim=1)
    q, k, v = (part.unflatten(1, (num_heads, -1)).mT for part in parts)
    return q, k, v


def to_map(heads: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """[B, heads, N, channels a head] -> [B, C, H, W]."""
    return heads.mT.flatten(1, 2).unflatten(2, shape[2:])


def with_encoding(x: torch.Tensor, positional_encoding: torch.Tensor | None) -> torch.Tensor:
    return x if positional_encoding is None else (x + positional_encoding).to(x.dtype)


def _heads(tokens: torch.Tensor, num_heads: int) -> torch.Tensor:
    B, N, C = tokens.shape
    return tokens.reshape(B, N, num_heads, C // num_heads).transpose(1, 2)


def _joined(heads: torch.Tensor) -> torch.Tensor:
    B, num_heads, N, channels = heads.shape
    return heads.transpose(1, 2).reshape(B, N, num_heads * channels)
