"""Attention over the positions of a map: softmax(q k^T * scale + bias) v.

Value channels may differ from key channels and the number of queries from the number of keys, as in
SAGAN (Zhang et al., 2019) and non-local networks (Wang et al., 2018): their keys are narrow and
their values wide.
"""

import math
from functools import partial
from typing import Any, TypeVar

import torch

from slt_fast.ops.backend import autocast_dtype, check_tensors, choose_backend
from slt_fast.ops.calls import Calls, Prepared
from slt_fast.ops.launching import Plans, aligned, machine_state
from slt_fast.ops.layouts import strides_of
from slt_fast.ops.pixel_attention import plan
from slt_fast.ops.pixel_attention.attention import refusal, regime
from slt_fast.ops.pixel_attention.reference import (
    additive,
    pixel_attention_gradients,
    pixel_attention_reference,
    repeated_bias,
    softmax_weights,
)
from slt_fast.ops.registering import Backward, define

MaybeTensor = TypeVar("MaybeTensor", torch.Tensor, torch.Tensor | None)


def pixel_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    scale: float | None = None,
    backend: str = "auto",
) -> torch.Tensor:
    """Computes softmax(q k^T * scale + bias) v.

    Args:
        q: [B, heads, Nq, dk], any strides. Autocast casts q, k and v.
        k: [B, heads, Nk, dk].
        v: [B, heads, Nk, dv].
        bias: Broadcasts to [B, heads, Nq, Nk], or None. Floating point: added to the scores; may
            need a gradient. Boolean: a mask, True = the key takes part, as in torch's
            scaled_dot_product_attention; a query without any key gets zeros, in the output and in
            its gradients. (A bias of -inf for all keys of a query gives NaN, as the formula does.)
            If the first size divides B, the entries are repeated, as for windows that are the same
            in each image.
        scale: Factor on q k^T, finite; None means dk ** -0.5.
        backend: "auto", "reference" or "triton"; slt_fast.ops.explain shows the choice of "auto".

    Returns:
        [B, heads, Nq, dv] in the type of v.

    Raises:
        TypeError: An argument is not a tensor.
        ValueError: Shapes, types or devices that do not fit, a scale that is not finite, or a
            backend that cannot run.
    """
    return _calls.run((q, k, v, bias), scale, backend)


def _prepare(tensors: tuple, scale: float | None, backend: str) -> Prepared:
    """Checks a call, and returns what computes it."""
    check(*tensors)
    q, k, v = map(to_autocast_type, tensors[:3])
    chosen, _ = choose_backend("pixel_attention", backend, q.device, kernel_refusal(q, k, v))
    if chosen == "reference":
        _check_one_type(q, k)
    compute = pixel_attention_reference if chosen == "reference" else _fused()
    if autocast_dtype(q.device) is not None:
        compute = partial(_cast, compute)
    return compute, (factor("pixel_attention", scale, q.shape[3]),)


def _cast(compute, q, k, v, bias, scale):
    return compute(*map(to_autocast_type, (q, k, v)), bias, scale)


_calls = Calls(_prepare)


def attention_weights(
    q: torch.Tensor,
    k: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    scale: float | None = None,
) -> torch.Tensor:
    """Computes the weights softmax(q k^T * scale + bias), by the formula: kernels never hold them.

    Args:
        q: [B, heads, Nq, dk].
        k: [B, heads, Nk, dk].
        bias: As for pixel_attention; a query without any key has weights of zero.
        scale: As for pixel_attention.

    Returns:
        [B, heads, Nq, Nk] in float32, or float64 if the scores are.

    Raises:
        TypeError: An argument is not a tensor.
        ValueError: Shapes, types or devices that do not fit, or a scale that is not finite.
    """
    check(q, k, k, bias)
    q, k = to_autocast_type(q), to_autocast_type(k)
    _check_one_type(q, k)
    return softmax_weights(q, k, bias, factor("attention_weights", scale, q.shape[3]))


def kernel_refusal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> str | None:
    """Returns why the kernels cannot take these tensors on any machine; None if they can."""
    B, heads, Nq, dk = q.shape
    return refusal({q.dtype, k.dtype, v.dtype}, (B, heads, Nq, k.shape[2], dk, v.shape[3]))


def to_autocast_type(tensor: MaybeTensor) -> MaybeTensor:
    """Casts a floating-point tensor to the type of autocast if that is on for its device.

    As everywhere in torch, float64 stays.
    """
    if tensor is None or (dtype := autocast_dtype(tensor.device)) is None:
        return tensor
    return tensor if tensor.dtype == torch.float64 else tensor.to(dtype)


def check(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Raises TypeError or ValueError if the shapes, types or devices do not fit."""
    check_tensors("pixel_attention", {"q": q, "k": k, "v": v, "bias": bias}, ("bias",))
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        if tensor.ndim != 4:
            raise ValueError(
                f"pixel_attention: found {name} of {list(tensor.shape)}; "
                "expected [B, heads, N, channels]"
            )
        if not tensor.is_floating_point():
            found = f"found {name} of {tensor.dtype}; expected a floating-point type"
            raise ValueError(f"pixel_attention: {found}")
    B, heads, Nq, dk = q.shape
    Nk = k.shape[2]
    for name, tensor, expected in (
        ("k", k, (B, heads, Nk, dk)),
        ("v", v, (B, heads, Nk, v.shape[3])),
    ):
        if tensor.shape != expected:
            found = f"found {name} of {list(tensor.shape)}; expected {list(expected)}"
            raise ValueError(f"pixel_attention: {found}")
    if bias is not None:
        _check_bias(bias, (B, heads, Nq, Nk))


def _check_one_type(q: torch.Tensor, k: torch.Tensor) -> None:
    if q.dtype != k.dtype:
        found = f"found q of {q.dtype} and k of {k.dtype}; expected one type"
        raise ValueError(f"pixel_attention: {found}")


def _check_bias(bias: torch.Tensor, scores: tuple[int, int, int, int]) -> None:
    if not (bias.is_floating_point() or bias.dtype == torch.bool):
        raise ValueError(
            f"pixel_attention: found bias of {bias.dtype}; expected a floating-point type or bool "
            "(True = the key takes part)"
        )
    if not _bias_fits(bias, *scores):
        raise ValueError(
            f"pixel_attention: found bias of {list(bias.shape)}; expected a shape that broadcasts "
            f"to {list(scores)}, or one whose first size divides {scores[0]}"
        )


def _bias_fits(bias: torch.Tensor, B: int, heads: int, Nq: int, Nk: int) -> bool:
    sizes = (1,) * (4 - bias.ndim) + tuple(bias.shape)
    if len(sizes) > 4 or any(
        size not in (1, wanted) for size, wanted in zip(sizes[1:], (heads, Nq, Nk), strict=True)
    ):
        return False
    return sizes[0] in (1, B) or (sizes[0] > 1 and B % sizes[0] == 0)


def factor(operator: str, scale: float | None, key_channels: int) -> float:
    """Returns the factor on q k^T: the scale, or that of these key channels a head.

    Raises:
        TypeError: The scale is not a number, or is a tensor that needs a gradient.
        ValueError: The scale is NaN or infinite.
    """
    if scale is None:
        return key_channels**-0.5
    is_variable = isinstance(scale, torch.Tensor) and scale.requires_grad
    try:
        if isinstance(scale, str) or is_variable:
            raise TypeError
        value = float(scale)
    except (TypeError, ValueError, RuntimeError):
        kind = type(scale).__name__
        found = f"found scale of {kind}; expected a number without gradient"
        raise TypeError(f"{operator}: {found}") from None
    # In a graph it may be a symbol, which has no value yet.
    if not torch.compiler.is_compiling() and not math.isfinite(value):
        raise ValueError(f"{operator}: found scale of {value}; expected a finite number")
    return value


def _kernels(
    plans: Plans,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the output, and each row's statistics if the flash kernels saved them, else None."""
    blind = None
    if bias is not None:
        bias, blind = additive(bias, q.dtype)
    results = plans.run(plan.forward_plan, q.device, q, k, v, bias, scale)
    if blind is not None:
        results["out"].masked_fill_(repeated_bias(blind, len(q)), 0)
    row_statistics: Any = results.get("row_statistics")
    return results["out"], row_statistics


def _memory(q, k, v, bias, scale):
    B, heads, Nq, _ = q.shape
    out = plan.empty_token_major(q, B, heads, Nq, v.shape[3])
    if regime(Nq, k.shape[2], q.dtype) != "flash":
        return out, out.new_empty(0)
    return out, q.new_empty((B, heads, 2, Nq), dtype=torch.float32)


def _backward_kernels(plans, gradient, q, k, v, bias, out, row_statistics, scale, needed):
    saved = (None, None)
    if row_statistics is not None and row_statistics.numel():
        saved = (out, row_statistics)
        gradient, q, k, v = map(aligned, (gradient, q, k, v))
    *_, needs_dbias = needed
    if bias is not None:
        bias, blind = additive(bias, q.dtype)
        if blind is not None:
            gradient = gradient.masked_fill(repeated_bias(blind, len(q)), 0)
    arguments = (gradient, q, k, v, bias, *saved, scale, needs_dbias)
    # Copies may be aligned, and hooks of saved tensors may return other layouts.
    key = (
        strides_of(gradient, q, k, v, bias, *saved),
        gradient.dtype,
        needs_dbias,
        machine_state(),
    )
    results = plans.run(plan.backward_plan, q.device, *arguments, key=key)
    dbias = None
    if needs_dbias:
        dbias = results["partial"].sum(0).sum_to_size(bias.shape).to(bias.dtype)
    return results["dq"], results["dk"], results["dv"], dbias


def _gradient_memory(number: int, tensor: torch.Tensor) -> torch.Tensor:
    is_bias = number == 3
    return tensor.new_empty(tensor.shape) if is_bias else torch.empty_like(tensor)


def _vmap(operator, info, in_dims, q, k, v, bias, scale):
    """Maps an operator over a dimension by making it a part of the batch."""
    V = info.batch_size
    q, k, v = (_folded(tensor, dim, V) for tensor, dim in zip((q, k, v), in_dims, strict=False))
    bias = _folded_bias(bias, in_dims[3], V, q.shape[0] // V)
    out, row_statistics = operator(q, k, v, bias, scale)
    is_empty = row_statistics.ndim == 1
    rows = row_statistics.expand(V, 0) if is_empty else row_statistics.unflatten(0, (V, -1))
    return (out.unflatten(0, (V, -1)), rows), (0, 0)


def _folded(tensor: torch.Tensor, dim: int | None, V: int) -> torch.Tensor:
    """[V, B, ...] -> [V * B, ...]; a tensor that is not mapped is repeated."""
    mapped = tensor.expand(V, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    return mapped.flatten(0, 1)


def _folded_bias(bias: torch.Tensor | None, dim: int | None, V: int, B: int) -> torch.Tensor | None:
    """Returns one entry of the bias for each of the V * B maps."""
    if bias is None:
        return None
    mapped = bias.expand(V, *bias.shape) if dim is None else bias.movedim(dim, 0)
    mapped = mapped.reshape(V, *(1,) * (5 - mapped.ndim), *mapped.shape[1:])
    return mapped.repeat(1, B // mapped.shape[1], 1, 1, 1).flatten(0, 1)


_fused = define(
    "pixel_attention",
    kernels=_kernels,
    reference=pixel_attention_reference,
    memory=_memory,
    backward=Backward(
        _backward_kernels, pixel_attention_gradients, _gradient_memory, needs_output=True
    ),
    vmap=_vmap,
)
