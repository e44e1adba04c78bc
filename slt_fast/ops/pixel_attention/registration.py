"""torch.ops.slt_fast.pixel_attention, for graphs and transforms.

CUDA tensors go to the kernels, CPU tensors to the reference formula.
"""

from __future__ import annotations

from functools import partial

import torch

from slt_fast.ops.pixel_attention import launch
from slt_fast.ops.pixel_attention.reference import (
    pixel_attention_gradients,
    pixel_attention_reference,
)

_OPTIONS = {"mutates_args": (), "device_types": "cuda"}


@torch.library.custom_op("slt_fast::pixel_attention", **_OPTIONS)
def pixel_attention_op(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The output, and each row's statistics where the flash kernels save them, else empty."""
    out, row_statistics = launch.new_forward(q, k, v, bias, scale)
    return out, q.new_empty(0, dtype=torch.float32) if row_statistics is None else row_statistics


@pixel_attention_op.register_kernel("cpu")
def _forward_cpu(q, k, v, bias, scale):
    out = launch.empty_token_major(q, *q.shape[:3], v.shape[3])
    out.copy_(pixel_attention_reference(q, k, v, bias=bias, scale=scale))
    return out, q.new_zeros(_saved_shape(q, k), dtype=torch.float32)


@pixel_attention_op.register_fake
def _forward_fake(q, k, v, bias, scale):
    out = launch.empty_token_major(q, *q.shape[:3], v.shape[3])
    return out, q.new_empty(_saved_shape(q, k), dtype=torch.float32)


def _saved_shape(q: torch.Tensor, k: torch.Tensor) -> tuple[int, ...]:
    B, heads, Nq, _ = q.shape
    return (B, heads, 2, Nq) if launch.regime(Nq, k.shape[2], q.dtype) == "flash" else (0,)


@torch.library.custom_op("slt_fast::pixel_attention_backward", **_OPTIONS)
def pixel_attention_backward_op(
    gradient: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    out: torch.Tensor,
    row_statistics: torch.Tensor,
    scale: float,
    needs_dbias: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of q, k, v and bias; the last is empty where it is not needed."""
    saved = (out, row_statistics) if row_statistics.numel() else (None, None)
    *gradients, dbias = launch.new_backward(gradient, q, k, v, bias, *saved, scale, needs_dbias)
    return (*gradients, gradient.new_empty(0) if dbias is None else dbias)


@pixel_attention_backward_op.register_kernel("cpu")
def _backward_cpu(gradient, q, k, v, bias, out, row_statistics, scale, needs_dbias):
    *gradients, dbias = pixel_attention_gradients(gradient, q, k, v, bias, scale)
    copies = [
        torch.empty_like(tensor).copy_(value)
        for tensor, value in zip((q, k, v), gradients, strict=True)
    ]
    return (*copies, dbias if needs_dbias else gradient.new_empty(0))


@pixel_attention_backward_op.register_fake
def _backward_fake(gradient, q, k, v, bias, out, row_statistics, scale, needs_dbias):
    dbias = bias.new_empty(bias.shape) if needs_dbias else gradient.new_empty(0)
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v), dbias


def _setup_context(ctx, inputs, output) -> None:
    q, k, v, bias, ctx.scale = inputs
    ctx.save_for_backward(q, k, v, bias, *output)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(True)


def _backward(ctx, gradient, _):
    q, k, v, bias, out, row_statistics = ctx.saved_tensors
    if torch.is_grad_enabled():  # someone will differentiate these gradients
        return (*pixel_attention_gradients(gradient, q, k, v, bias, ctx.scale), None)
    needs_dbias = bias is not None and ctx.needs_input_grad[3]
    *gradients, dbias = torch.ops.slt_fast.pixel_attention_backward(
        gradient, q, k, v, bias, out, row_statistics, ctx.scale, needs_dbias
    )
    return (*gradients, dbias if needs_dbias else None, None)


pixel_attention_op.register_autograd(_backward, setup_context=_setup_context)


def forward_vmap(operator, info, in_dims, q, k, v, bias, scale):
    """Maps an operator over a dimension, which becomes a part of the batch."""
    V = info.batch_size
    q, k, v = (_folded(tensor, dim, V) for tensor, dim in zip((q, k, v), in_dims, strict=False))
    bias = _folded_bias(bias, in_dims[3], V, q.shape[0] // V)
    out, row_statistics = operator(q, k, v, bias, scale)
    is_saved = row_statistics.ndim == 4
    row_statistics = (
        row_statistics.unflatten(0, (V, -1)) if is_saved else row_statistics.expand(V, 0)
    )
    return (out.unflatten(0, (V, -1)), row_statistics), (0, 0)


pixel_attention_op.register_vmap(partial(forward_vmap, torch.ops.slt_fast.pixel_attention))


@pixel_attention_backward_op.register_vmap
def _backward_vmap(info, in_dims, gradient, q, k, v, bias, out, row_statistics, scale, needs_dbias):
    V = info.batch_size
    tensors = zip((gradient, q, k, v, out), (*in_dims[:4], in_dims[5]), strict=True)
    gradient, q, k, v, out = (_folded(tensor, dim, V) for tensor, dim in tensors)
    bias_shape = None if bias is None else _without(bias, in_dims[4])
    bias = _folded_bias(bias, in_dims[4], V, q.shape[0] // V)
    is_saved = row_statistics.ndim - (in_dims[6] is not None) == 4
    row_statistics = (
        _folded(row_statistics, in_dims[6], V) if is_saved else row_statistics.flatten()
    )
    *gradients, dbias = torch.ops.slt_fast.pixel_attention_backward(
        gradient, q, k, v, bias, out, row_statistics, scale, needs_dbias
    )
    gradients = [tensor.unflatten(0, (V, -1)) for tensor in gradients]
    if not needs_dbias:
        return (*gradients, dbias.expand(V, 0)), (0, 0, 0, 0)
    dbias = dbias.unflatten(0, (V, -1))
    if len(bias_shape) == 4:
        dbias = dbias.unflatten(1, (-1, bias_shape[0])).sum(1)
    return (*gradients, dbias.sum_to_size(V, *bias_shape)), (0, 0, 0, 0)


def _without(tensor: torch.Tensor, dim: int | None) -> tuple[int, ...]:
    """The shape that one of the mapped calls sees."""
    return tuple(size for index, size in enumerate(tensor.shape) if index != dim)


def _folded(tensor: torch.Tensor, dim: int | None, V: int) -> torch.Tensor:
    """[V, B, ...] -> [V * B, ...]; a tensor that is not mapped is repeated."""
    mapped = tensor.expand(V, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    return mapped.flatten(0, 1)


def _folded_bias(bias: torch.Tensor | None, dim: int | None, V: int, B: int) -> torch.Tensor | None:
    """One entry of the bias for each of the V * B maps."""
    if bias is None:
        return None
    mapped = bias.expand(V, *bias.shape) if dim is None else bias.movedim(dim, 0)
    mapped = mapped.reshape(V, *(1,) * (5 - mapped.ndim), *mapped.shape[1:])
    return mapped.repeat(1, B // mapped.shape[1], 1, 1, 1).flatten(0, 1)
