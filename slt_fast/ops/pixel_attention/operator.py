"""Attention over the positions of a map: softmax(q k^T * scale + bias) v.

Value channels may differ from key channels and the number of queries from the number of keys, as in
SAGAN (Zhang et al., 2019) and non-local networks (Wang et al., 2018), where the keys are narrow and
the values wide.

An eager call goes straight to the kernels, as the dispatcher takes longer than a small one. A call
that is traced (torch.compile, torch.export) goes through torch.ops.slt_fast.pixel_attention, which
takes CUDA tensors to the kernels and CPU tensors to the reference formula. Where gradients may be
differentiated themselves (create_graph, torch.func.grad) they come from the reference formula.
"""

from __future__ import annotations

import torch

from slt_fast.ops.backend import check_devices, choose_backend
from slt_fast.ops.pixel_attention import launch, registration
from slt_fast.ops.pixel_attention.reference import (
    attention_weights,
    pixel_attention_gradients,
    pixel_attention_reference,
)

Optional = torch.Tensor | None


def pixel_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    scale: float | None = None,
    return_attention: bool = False,
    backend: str = "auto",
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Computes softmax(q k^T * scale + bias) v.

    Args:
        q: [B, heads, Nq, dk], any strides. Under autocast q, k and v are cast to its type.
        k: [B, heads, Nk, dk].
        v: [B, heads, Nk, dv].
        bias: Broadcasts to [B, heads, Nq, Nk], or None; may need a gradient. A first size that
            divides B is repeated: that of windows which are the same in each image.
        scale: Factor on q k^T; None means dk ** -0.5.
        return_attention: Whether the softmax's weights are returned, too; computed by the reference
            formula, since the kernels never hold them.
        backend: "auto", "reference" or "triton"; slt_fast.ops.explain tells what "auto" takes.

    Returns:
        [B, heads, Nq, dv] in the type of v; with return_attention also [B, heads, Nq, Nk].

    Raises:
        ValueError: Shapes that do not fit, or a backend that cannot run.
    """
    check(q, k, v, bias)
    q, k, v = to_autocast_type(q, k, v)
    chosen, _ = choose_backend("pixel_attention", backend, q.device, kernel_refusal(q, k, v))
    scale = q.shape[-1] ** -0.5 if scale is None else float(scale)
    if chosen == "reference":
        out = pixel_attention_reference(q, k, v, bias=bias, scale=scale)
    elif torch.compiler.is_compiling():
        out, *_ = torch.ops.slt_fast.pixel_attention(q, k, v, bias, scale)
    else:
        out, _ = _PixelAttention.apply(q, k, v, bias, scale)
    return (out, attention_weights(q, k, bias, scale)) if return_attention else out


def kernel_refusal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> str | None:
    """Why the kernels cannot take these tensors, on whatever machine; None if they can."""
    B, heads, Nq, dk = q.shape
    return launch.refusal({q.dtype, k.dtype, v.dtype}, (B, heads, Nq, k.shape[2], dk, v.shape[3]))


def to_autocast_type(*tensors: Optional) -> list[Optional]:
    """Casts floating-point tensors to autocast's type where it is on for their device."""
    device = next(tensor.device.type for tensor in tensors if tensor is not None)
    if not torch.is_autocast_enabled(device):
        return list(tensors)
    dtype = torch.get_autocast_dtype(device)
    return [tensor if tensor is None else tensor.to(dtype) for tensor in tensors]


def check(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: Optional) -> None:
    """Whether the shapes fit.

    Raises:
        ValueError: They do not.
    """
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        if tensor.ndim != 4:
            raise ValueError(
                f"pixel_attention: found {name} of {list(tensor.shape)}; "
                "expected [B, heads, N, channels]"
            )
    B, heads, Nq, dk = q.shape
    Nk = k.shape[2]
    for name, tensor, expected in (
        ("k", k, [B, heads, Nk, dk]),
        ("v", v, [B, heads, Nk, v.shape[3]]),
    ):
        if list(tensor.shape) != expected:
            raise ValueError(
                f"pixel_attention: found {name} of {list(tensor.shape)}; expected {expected}"
            )
    check_devices("pixel_attention", q.device, {"k": k, "v": v, "bias": bias})
    if bias is not None and not _bias_fits(bias, B, heads, Nq, Nk):
        raise ValueError(
            f"pixel_attention: found bias of {list(bias.shape)}; expected a shape that broadcasts "
            f"to {[B, heads, Nq, Nk]}, or one whose first size divides {B}"
        )


def _bias_fits(bias: torch.Tensor, B: int, heads: int, Nq: int, Nk: int) -> bool:
    sizes = (1,) * (4 - bias.ndim) + tuple(bias.shape)
    if len(sizes) > 4 or any(
        size not in (1, wanted) for size, wanted in zip(sizes[1:], (heads, Nq, Nk), strict=True)
    ):
        return False
    return sizes[0] in (1, B) or (sizes[0] > 1 and B % sizes[0] == 0)


class _PixelAttention(torch.autograd.Function):
    """The kernels in eager mode, with the transforms of torch.func."""

    @staticmethod
    def forward(q, k, v, bias, scale):
        out, row_statistics = launch.new_forward(q, k, v, bias, scale)
        return out, q.new_empty(0) if row_statistics is None else row_statistics

    @staticmethod
    def setup_context(ctx, inputs, output):
        q, k, v, bias, ctx.scale = inputs
        out, row_statistics = output
        ctx.mark_non_differentiable(row_statistics)
        ctx.set_materialize_grads(False)
        saved = (out, row_statistics) if row_statistics.numel() else (None, None)
        ctx.save_for_backward(q, k, v, bias, *saved)

    @staticmethod
    def backward(ctx, gradient, _):
        if gradient is None:
            return (None,) * 5
        q, k, v, bias, out, row_statistics = ctx.saved_tensors
        if torch.is_grad_enabled():  # someone may differentiate these gradients
            return (*pixel_attention_gradients(gradient, q, k, v, bias, ctx.scale), None)
        needs_dbias = ctx.needs_input_grad[3]
        arguments = (gradient, q, k, v, bias, out, row_statistics, ctx.scale, needs_dbias)
        return (*launch.new_backward(*arguments), None)

    @staticmethod
    def vmap(info, in_dims, *arguments):
        return registration.forward_vmap(_PixelAttention.apply, info, in_dims, *arguments)
