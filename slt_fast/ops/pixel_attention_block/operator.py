"""2-D pixel-wise self-attention on a feature map, from positions to residual.

    h = x + positional_encoding
    q, k, v = qkv_weight h + qkv_bias          (1x1 convolutions)
    y = h + gamma * softmax(q k^T * scale) v   (over the H*W positions of each map)

The block of "Spatio-temporal transformer to support automatic sign language translation"
(arXiv 2502.02587), with the learnable residual gamma of SAGAN (Zhang et al., 2019).
"""

from functools import partial
from typing import Any

import torch

from slt_fast.ops.backend import autocast_dtype, check_tensors, choose_backend
from slt_fast.ops.calls import Calls, Prepared
from slt_fast.ops.launching import Plans, aligned, empty_map
from slt_fast.ops.pixel_attention.operator import factor, to_autocast_type
from slt_fast.ops.pixel_attention.plan import empty_token_major, refusal, regime
from slt_fast.ops.pixel_attention_block import plan
from slt_fast.ops.pixel_attention_block.reference import (
    pixel_attention_block_gradients,
    pixel_attention_block_reference,
)
from slt_fast.ops.pixel_attention_block.sums import Needed
from slt_fast.ops.registering import Backward, call_by_call, define
from slt_fast.ops.steps import Tensors


def pixel_attention_block(
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    *,
    key_channels: int,
    num_heads: int = 1,
    positional_encoding: torch.Tensor | None = None,
    scale: float | None = None,
    backend: str = "auto",
) -> torch.Tensor:
    """Computes h + gamma * attention(h) with h = x + positional_encoding.

    Args:
        x: [B, C, H, W], either memory format; channels_last is the fast one.
        qkv_weight: [2 * key_channels + C, C], rows in the order q, k, v. Autocast casts it and
            qkv_bias; without autocast it has the type of x.
        qkv_bias: [2 * key_channels + C], or None.
        gamma: Scalar tensor.
        key_channels: Channels of q, and of k, over all heads; divisible by num_heads, as is C.
        num_heads: Heads of the attention.
        positional_encoding: [C, H, W], or None.
        scale: Factor on q k^T; None means (key_channels / num_heads) ** -0.5.
        backend: "auto", "reference" or "triton"; slt_fast.ops.explain shows the choice of "auto".

    Returns:
        [B, C, H, W] in the type and memory format of x.

    Raises:
        TypeError: An argument of another kind: an array or a number instead of a tensor, for
            example gamma, or channels and heads that are no whole numbers.
        ValueError: Shapes, types or devices that do not fit, or a backend that cannot run.
    """
    tensors = (x, qkv_weight, qkv_bias, gamma, positional_encoding)
    return _calls.run(tensors, key_channels, num_heads, scale, backend)


def _prepare(
    tensors: tuple, key_channels: int, num_heads: int, scale: float | None, backend: str
) -> Prepared:
    """Checks a call, and returns what computes it."""
    x, qkv_weight, qkv_bias, gamma, positional_encoding = tensors
    check(x, qkv_weight, qkv_bias, gamma, key_channels, num_heads, positional_encoding)
    qkv_weight, qkv_bias = to_autocast_type(qkv_weight), to_autocast_type(qkv_bias)
    reason = kernel_refusal(x, qkv_weight, qkv_bias, key_channels, num_heads)
    chosen, _ = choose_backend("pixel_attention_block", backend, x.device, reason)
    compute = pixel_attention_block_reference if chosen == "reference" else _fused()
    if autocast_dtype(x.device) is not None:
        compute = partial(_cast, compute)
    scale = factor("pixel_attention_block", scale, key_channels // num_heads)
    return compute, (key_channels, num_heads, scale)


def _cast(compute, x, qkv_weight, qkv_bias, *others):
    return compute(x, to_autocast_type(qkv_weight), to_autocast_type(qkv_bias), *others)


_calls = Calls(_prepare)


def kernel_refusal(
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    key_channels: int,
    num_heads: int,
) -> str | None:
    """Returns why the kernels cannot take these tensors on any machine; None if they can."""
    B, C, H, W = x.shape
    if x.dtype != qkv_weight.dtype and torch.promote_types(x.dtype, torch.float32) != torch.float32:
        return f"found a map of {x.dtype}, the kernels take float32, float16 and bfloat16"
    dtypes = {qkv_weight.dtype} | (set() if qkv_bias is None else {qkv_bias.dtype})
    channels = (key_channels // num_heads, C // num_heads)
    return refusal(dtypes, (B, num_heads, H * W, H * W, *channels))


def check(
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    key_channels: int,
    num_heads: int,
    positional_encoding: torch.Tensor | None,
) -> None:
    """Raises TypeError or ValueError if the shapes, types or devices do not fit."""
    tensors = {"x": x, "qkv_weight": qkv_weight, "qkv_bias": qkv_bias, "gamma": gamma}
    tensors["positional_encoding"] = positional_encoding
    check_tensors("pixel_attention_block", tensors, ("qkv_bias", "positional_encoding"))
    if x.ndim != 4 or not x.is_floating_point():
        found = f"found x of {x.dtype} {list(x.shape)}; expected floating-point [B, C, H, W]"
        raise ValueError(f"pixel_attention_block: {found}")
    if not all(hasattr(n, "__index__") and n is not True for n in (key_channels, num_heads)):
        found = f"found key_channels {key_channels!r} and num_heads {num_heads!r}"
        raise TypeError(f"pixel_attention_block: {found}; expected whole numbers")
    C = x.shape[1]
    rows = 2 * key_channels + C
    if min(num_heads, key_channels) < 1 or key_channels % num_heads or C % num_heads:
        raise ValueError(
            f"pixel_attention_block: found {num_heads} heads; expected a divisor of "
            f"{key_channels} key channels and {C} channels"
        )
    for name, tensor, shape in (
        ("qkv_weight", qkv_weight, (rows, C)),
        ("qkv_bias", qkv_bias, (rows,)),
        ("positional_encoding", positional_encoding, tuple(x.shape[1:])),
    ):
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(
                f"pixel_attention_block: found {name} of {list(tensor.shape)}; "
                f"expected {list(shape)}"
            )
    if gamma.numel() != 1:
        found = f"found gamma of {list(gamma.shape)}; expected a scalar"
        raise ValueError(f"pixel_attention_block: {found}")
    for name, tensor in tensors.items():
        if tensor is not None and tensor.dtype != x.dtype:
            _check_type(name, tensor, x)


def _check_type(name: str, tensor: torch.Tensor, x: torch.Tensor) -> None:
    """Raises ValueError if a tensor must not have another type than the map."""
    if not tensor.is_floating_point():
        found = f"found {name} of {tensor.dtype}; expected a floating-point type"
        raise ValueError(f"pixel_attention_block: {found}")
    if name.startswith("qkv") and autocast_dtype(x.device) is None:
        found = f"found x of {x.dtype} and {name} of {tensor.dtype}"
        raise ValueError(f"pixel_attention_block: {found}; expected one type, or autocast")


def _kernels(
    plans: Plans,
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    positional_encoding: torch.Tensor | None,
    key_channels: int,
    num_heads: int,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns the output, qkv, and attended and row_statistics (None without flash kernels)."""
    tensors = (x, qkv_weight, qkv_bias, gamma, positional_encoding)
    results = _forward(plans, True, *tensors, key_channels, num_heads, scale)
    saved: Any = results.get("attended"), results.get("row_statistics")
    return results["out"], results["qkv"], *saved


def _inference(plans: Plans, *arguments: Any) -> torch.Tensor:
    return _forward(plans, False, *arguments)["out"]


def _forward(plans: Plans, saves: bool, *arguments: Any) -> Tensors:
    x, qkv_weight = arguments[:2]
    state = (saves, (x.data_ptr() | qkv_weight.data_ptr()) % 16 == 0)
    return plans.run(plan.forward_plan, x.device, *arguments, *state, key=state)


def _memory(x, qkv_weight, qkv_bias, gamma, positional_encoding, key_channels, num_heads, scale):
    B, C, H, W = x.shape
    N = H * W
    out, qkv = empty_map(x), qkv_weight.new_empty(B, N, len(qkv_weight))
    if regime(N, N, qkv_weight.dtype) != "flash":
        return out, qkv, out.new_empty(0), out.new_empty(0)
    attended = empty_token_major(qkv, B, num_heads, N, C // num_heads)
    return out, qkv, attended, qkv.new_empty(B, num_heads, 2, N, dtype=torch.float32)


def _backward_kernels(plans, gradient, *arguments):
    x, qkv_weight, _, gamma, encoding, qkv, attended, row_statistics, *settings, needed = arguments
    if attended is not None and not attended.numel():
        attended = row_statistics = None
    gradient, needed = aligned(gradient), Needed(*needed)
    given = (gradient, x, qkv_weight, gamma, encoding, qkv, attended, row_statistics)
    strides = (gradient.stride(), x.stride())  # of x, as one who keeps saved tensors may copy them
    key = (strides, gradient.dtype, needed)
    results = plans.run(plan.backward_plan, x.device, *given, *settings, needed, key=key)
    return tuple(map(results.get, Needed._fields))


def _gradient_memory(number: int, tensor: torch.Tensor) -> torch.Tensor:
    return empty_map(tensor) if number == 0 else tensor.new_empty(tensor.shape)


_fused = define(
    "pixel_attention_block",
    kernels=_kernels,
    reference=pixel_attention_block_reference,
    memory=_memory,
    backward=Backward(_backward_kernels, pixel_attention_block_gradients, _gradient_memory),
    vmap=call_by_call,
    inference=_inference,
)
