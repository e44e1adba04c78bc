"""torch.ops.slt_fast.pixel_attention_block, for graphs and transforms.

CUDA tensors go to the kernels, CPU tensors to the reference formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from slt_fast.ops.pixel_attention.launch import empty_token_major, regime
from slt_fast.ops.pixel_attention_block import launch
from slt_fast.ops.pixel_attention_block.reference import (
    pixel_attention_block_gradients,
    pixel_attention_block_reference,
)

_OPTIONS = {"mutates_args": (), "device_types": "cuda"}


@torch.library.custom_op("slt_fast::pixel_attention_block", **_OPTIONS)
def pixel_attention_block_op(
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    positional_encoding: torch.Tensor | None,
    key_channels: int,
    num_heads: int,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The output, and for the backward pass qkv, attended, row_statistics (empty if none)."""
    arguments = (x, qkv_weight, qkv_bias, gamma, positional_encoding)
    out, saved = launch.forward(*arguments, key_channels, num_heads, scale)
    qkv, attended, row_statistics = saved
    if attended is None:
        return out, qkv, qkv.new_empty(0), qkv.new_empty(0, dtype=torch.float32)
    return out, qkv, attended, row_statistics


@pixel_attention_block_op.register_kernel("cpu")
def _forward_cpu(
    x, qkv_weight, qkv_bias, gamma, positional_encoding, key_channels, num_heads, scale
):
    out = pixel_attention_block_reference(
        x,
        qkv_weight,
        qkv_bias,
        gamma,
        key_channels=key_channels,
        num_heads=num_heads,
        positional_encoding=positional_encoding,
        scale=scale,
    )
    return launch.empty_map(x).copy_(out), *_saved(x, qkv_weight, num_heads, torch.zeros_like)


@pixel_attention_block_op.register_fake
def _forward_fake(
    x, qkv_weight, qkv_bias, gamma, positional_encoding, key_channels, num_heads, scale
):
    return launch.empty_map(x), *_saved(x, qkv_weight, num_heads, torch.empty_like)


def _saved(x: torch.Tensor, qkv_weight: torch.Tensor, num_heads: int, make) -> tuple:
    """Tensors of the shapes that the kernels save."""
    B, C, H, W = x.shape
    N, rows = H * W, qkv_weight.shape[0]
    qkv = make(qkv_weight.new_empty(B, N, rows))
    if regime(N, N, qkv_weight.dtype) != "flash":
        return qkv, make(qkv_weight.new_empty(0)), make(x.new_empty(0, dtype=torch.float32))
    attended = empty_token_major(qkv_weight, B, num_heads, N, C // num_heads)
    return qkv, make(attended), make(x.new_empty(B, num_heads, 2, N, dtype=torch.float32))


@torch.library.custom_op("slt_fast::pixel_attention_block_backward", **_OPTIONS)
def pixel_attention_block_backward_op(
    gradient: torch.Tensor,
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    positional_encoding: torch.Tensor | None,
    qkv: torch.Tensor,
    attended: torch.Tensor,
    row_statistics: torch.Tensor,
    key_channels: int,
    num_heads: int,
    scale: float,
    needed: Sequence[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of x, qkv_weight, qkv_bias, gamma and positional_encoding; empty if not needed."""
    inputs = (x, qkv_weight, qkv_bias, gamma, positional_encoding)
    saved = (qkv, attended, row_statistics) if row_statistics.numel() else (qkv, None, None)
    gradients = launch.backward(gradient, *inputs, saved, key_channels, num_heads, scale, needed)
    return tuple(
        gradient.new_empty(0) if value is None else value.contiguous() if number else value
        for number, value in enumerate(gradients)
    )


@pixel_attention_block_backward_op.register_kernel("cpu")
def _backward_cpu(
    gradient,
    x,
    qkv_weight,
    qkv_bias,
    gamma,
    positional_encoding,
    qkv,
    attended,
    row_statistics,
    key_channels,
    num_heads,
    scale,
    needed,
):
    inputs = (x, qkv_weight, qkv_bias, gamma, positional_encoding)
    gradients = pixel_attention_block_gradients(gradient, *inputs, key_channels, num_heads, scale)
    return tuple(
        empty.copy_(value) if empty.numel() else empty
        for empty, value in zip(_empty_gradients(gradient, inputs, needed), gradients, strict=True)
    )


@pixel_attention_block_backward_op.register_fake
def _backward_fake(gradient, x, qkv_weight, qkv_bias, gamma, positional_encoding, *others):
    inputs = (x, qkv_weight, qkv_bias, gamma, positional_encoding)
    return _empty_gradients(gradient, inputs, others[-1])


def _empty_gradients(
    gradient: torch.Tensor, inputs: tuple, needed: Sequence[bool]
) -> tuple[torch.Tensor, ...]:
    """Tensors as the kernels make them: the map's dense, the others contiguous."""
    return tuple(
        gradient.new_empty(0)
        if not is_needed
        else launch.empty_map(tensor)
        if number == 0
        else tensor.new_empty(tensor.shape)
        for number, (tensor, is_needed) in enumerate(zip(inputs, needed, strict=True))
    )


def _setup_context(ctx, inputs, output) -> None:
    *tensors, ctx.key_channels, ctx.num_heads, ctx.scale = inputs
    ctx.save_for_backward(*tensors, *output[1:])
    ctx.mark_non_differentiable(*output[1:])


def _backward(ctx, gradient, *_):
    *inputs, qkv, attended, row_statistics = ctx.saved_tensors
    settings = (ctx.key_channels, ctx.num_heads, ctx.scale)
    needed = [bool(needs) for needs in ctx.needs_input_grad[:5]]
    if torch.is_grad_enabled():  # someone will differentiate these gradients
        gradients = pixel_attention_block_gradients(gradient, *inputs, *settings)
    else:
        gradients = torch.ops.slt_fast.pixel_attention_block_backward(
            gradient, *inputs, qkv, attended, row_statistics, *settings, needed
        )
    known = [g if needs else None for needs, g in zip(needed, gradients, strict=True)]
    return (*known, None, None, None)


pixel_attention_block_op.register_autograd(_backward, setup_context=_setup_context)


def call_by_call(operator, info, in_dims, *arguments):
    """Maps an operator over a dimension; weights may differ from one call to the next."""
    calls = [
        operator(
            *(
                argument if dim is None else argument.select(dim, index)
                for argument, dim in zip(arguments, in_dims, strict=True)
            )
        )
        for index in range(info.batch_size)
    ]
    results = tuple(torch.stack(values) for values in zip(*calls, strict=True))
    return results, (0,) * len(results)


pixel_attention_block_op.register_vmap(
    partial(call_by_call, torch.ops.slt_fast.pixel_attention_block)
)
pixel_attention_block_backward_op.register_vmap(
    partial(call_by_call, torch.ops.slt_fast.pixel_attention_block_backward)
)
