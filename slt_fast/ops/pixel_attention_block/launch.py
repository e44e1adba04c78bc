"""Starts the block's kernels: a projection and an attention; back, an attention and products.

    qkv = x qkv_weight^T + (encoding qkv_weight^T + qkv_bias)      the second part a table [N, rows]
    y   = x + encoding + gamma * attention(q, k, v)                in the attention's own epilogue

so that neither the encoding nor gamma and the residual cost a pass over the maps. Maps whose
channels do not lie side by side in memory are transposed once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from slt_fast.ops import kernel_table
from slt_fast.ops.pixel_attention import launch as attention_launch
from slt_fast.ops.pixel_attention.launch import (
    Attention,
    Gradients,
    ceil_divide,
    precision,
    strided,
)

Saved = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]


def forward(
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    positional_encoding: torch.Tensor | None,
    key_channels: int,
    num_heads: int,
    scale: float,
) -> tuple[torch.Tensor, Saved]:
    """The block's output, and what its backward pass needs: qkv, attended, row_statistics."""
    tokens = token_view(x)
    encoding = encoding_tokens(positional_encoding)
    table = _position_table(encoding, qkv_weight, qkv_bias)
    qkv = tokens.new_empty((*tokens.shape[:2], len(qkv_weight)), dtype=qkv_weight.dtype)
    project(tokens, qkv_weight, table, qkv)
    out = empty_map(x)
    attention = _attention(qkv, key_channels, num_heads, scale, gamma)
    attended, row_statistics = attention_launch.forward(
        attention,
        residual=_heads(tokens, num_heads),
        encoding=None if encoding is None else _heads(encoding.expand_as(tokens), num_heads),
        out=_heads(_tokens_of_dense(out), num_heads),
    )
    return out, (qkv, attended, row_statistics)


def backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    positional_encoding: torch.Tensor | None,
    saved: Saved,
    key_channels: int,
    num_heads: int,
    scale: float,
    needed: Sequence[bool],
) -> tuple[torch.Tensor | None, ...]:
    """Gradients of x, qkv_weight, qkv_bias, gamma, positional_encoding; None where not needed."""
    qkv, attended, row_statistics = saved
    gradient_tokens = token_view(gradient)
    dqkv = torch.empty_like(qkv)
    parts = _parts(dqkv, key_channels, num_heads)
    delta, _ = attention_launch.backward(
        _attention(qkv, key_channels, num_heads, scale, gamma),
        _heads(gradient_tokens, num_heads),
        Gradients(*parts),
        attended=attended,
        row_statistics=row_statistics,
    )
    needs_x, needs_weight, needs_bias, needs_gamma, needs_encoding = needed
    dx = dweight = dbias = dgamma = dencoding = by_position = None
    if needs_x or needs_encoding:
        dx = empty_map(x)
        project(dqkv, qkv_weight.mT, gradient_tokens, _tokens_of_dense(dx))
    if needs_encoding:
        dencoding = dx.sum(0).to(positional_encoding.dtype)
    if needs_bias or (needs_weight and positional_encoding is not None):
        by_position = dqkv.sum(0, dtype=torch.float32)
    if needs_bias:
        dbias = by_position.sum(0).to(qkv_bias.dtype)
    if needs_weight:
        dweight = _weight_gradient(dqkv, x, by_position, encoding_tokens(positional_encoding))
    if needs_gamma:
        dgamma = delta.sum().reshape(gamma.shape).to(gamma.dtype)
    return dx if needs_x else None, dweight, dbias, dgamma, dencoding


def _weight_gradient(
    dqkv: torch.Tensor,
    x: torch.Tensor,
    by_position: torch.Tensor | None,
    encoding: torch.Tensor | None,
) -> torch.Tensor:
    """dqkv^T (x + encoding) as dqkv^T x + (sum of dqkv over the maps)^T encoding."""
    flat = dqkv.flatten(0, 1)
    dweight = flat.mT @ token_view(x).flatten(0, 1).to(flat.dtype)
    if encoding is None:
        return dweight
    return dweight.addmm_(by_position.mT.to(flat.dtype), encoding.to(flat.dtype))


def project(
    x: torch.Tensor, weight: torch.Tensor, added: torch.Tensor | None, out: torch.Tensor
) -> None:
    """Writes out = x weight^T + added.

    Args:
        x: [B, N, channels], any strides.
        weight: [outputs, channels], any strides.
        added: Broadcasts to [B, N, outputs], or None.
        out: [B, N, outputs], any strides.
    """
    from slt_fast.ops.pixel_attention_block.projection_kernel import projection_kernel

    B, N, channels = x.shape
    num_outputs = len(weight)
    architecture = kernel_table.architecture_of(x.device)
    row = kernel_table.find("projection", architecture, weight.element_size())
    num_programs = ceil_divide(B * N, row.blocks["BLOCK_ROWS"])
    num_programs *= ceil_divide(num_outputs, row.blocks["BLOCK_COLUMNS"])
    kernel_table.launch(
        projection_kernel,
        num_programs,
        row,
        x.device,
        x=strided(x),
        weight=strided(weight),
        added=None if added is None else strided(added.expand(B, N, num_outputs)),
        out=strided(out),
        num_rows=B * N,
        N=N,
        num_outputs=num_outputs,
        CHANNELS=channels,
        PRECISION=precision(weight.dtype),
    )


def token_view(maps: torch.Tensor) -> torch.Tensor:
    """[B, C, H, W] -> [B, N, C], channels side by side: a view where they are so, else a copy."""
    _, C, _, W = maps.shape
    _, channel_stride, row_stride, column_stride = maps.stride()
    is_token_major = (channel_stride == 1 or C == 1) and row_stride == W * column_stride
    if not is_token_major:
        maps = maps.contiguous(memory_format=torch.channels_last)
    return _tokens_of_dense(maps)


def empty_map(like: torch.Tensor) -> torch.Tensor:
    """A map in the memory format of another one; dense, whatever the strides of that."""
    is_channels_last = like.stride(1) == 1 and like.shape[1] > 1 and like.shape[2:].numel() > 1
    memory_format = torch.channels_last if is_channels_last else torch.contiguous_format
    return torch.empty(
        like.shape, dtype=like.dtype, device=like.device, memory_format=memory_format
    )


def encoding_tokens(positional_encoding: torch.Tensor | None) -> torch.Tensor | None:
    """[C, H, W] -> [N, C] with the channels side by side."""
    if positional_encoding is None:
        return None
    return positional_encoding.permute(1, 2, 0).flatten(0, 1).contiguous()


def _tokens_of_dense(maps: torch.Tensor) -> torch.Tensor:
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


def _position_table(
    encoding: torch.Tensor | None, qkv_weight: torch.Tensor, qkv_bias: torch.Tensor | None
) -> torch.Tensor | None:
    """What the projection adds at each position: encoding qkv_weight^T + qkv_bias."""
    if encoding is None:
        return qkv_bias
    encoding = encoding.to(qkv_weight.dtype)
    if qkv_bias is None:
        return encoding @ qkv_weight.mT
    return torch.addmm(qkv_bias, encoding, qkv_weight.mT)


def _attention(
    qkv: torch.Tensor, key_channels: int, num_heads: int, scale: float, gamma: torch.Tensor
) -> Attention:
    q, k, v = _parts(qkv, key_channels, num_heads)
    return Attention(q, k, v, None, scale, gamma)


def _parts(
    qkv: torch.Tensor, key_channels: int, num_heads: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Views of q, k, v [B, heads, N, channels a head] in their packed rows."""
    widths = [key_channels, key_channels, qkv.shape[2] - 2 * key_channels]
    q, k, v = (_heads(part, num_heads) for part in qkv.split(widths, dim=2))
    return q, k, v


def _heads(tokens: torch.Tensor, num_heads: int) -> torch.Tensor:
    return tokens.unflatten(2, (num_heads, -1)).transpose(1, 2)
