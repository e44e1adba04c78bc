"""2-D pixel-wise self-attention on a feature map, from positions to residual.

    h = x + positional_encoding
    q, k, v = qkv_weight h + qkv_bias          (1x1 convolutions)
    y = h + gamma * softmax(q k^T * scale) v   (over the H*W positions of each map)

The block of "Spatio-temporal transformer to support automatic sign language translation"
(arXiv 2502.02587), with the learnable residual gamma of SAGAN (Zhang et al., 2019).

An eager call goes straight to the kernels; one that is traced goes through
torch.ops.slt_fast.pixel_attention_block.
"""

from __future__ import annotations

import torch

from slt_fast.ops.backend import check_devices, choose_backend
from slt_fast.ops.pixel_attention import launch as attention_launch
from slt_fast.ops.pixel_attention.operator import to_autocast_type
from slt_fast.ops.pixel_attention_block import launch, registration
from slt_fast.ops.pixel_attention_block.reference import (
    block_attention_weights,
    pixel_attention_block_gradients,
    pixel_attention_block_reference,
)


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
    return_attention: bool = False,
    backend: str = "auto",
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Computes h + gamma * attention(h) with h = x + positional_encoding.

    Args:
        x: [B, C, H, W], either memory format; channels_last is the fast one.
        qkv_weight: [2 * key_channels + C, C]; its rows in the order q, k, v. Under autocast it is
            cast to its type, with qkv_bias; elsewhere it has the type of x.
        qkv_bias: [2 * key_channels + C], or None.
        gamma: Scalar tensor.
        key_channels: Channels of q, and of k, over all heads; divisible by num_heads, as is C.
        num_heads: Heads of the attention.
        positional_encoding: [C, H, W], or None.
        scale: Factor on q k^T; None means (key_channels / num_heads) ** -0.5.
        return_attention: Whether the softmax's weights are returned, too; computed by the reference
            formula, since the kernels never hold them.
        backend: "auto", "reference" or "triton"; slt_fast.ops.explain tells what "auto" takes.

    Returns:
        [B, C, H, W] in the type and memory format of x; with return_attention also
        [B, heads, H*W, H*W].

    Raises:
        ValueError: Shapes that do not fit, or a backend that cannot run.
    """
    check(x, qkv_weight, qkv_bias, gamma, key_channels, num_heads, positional_encoding)
    qkv_weight, qkv_bias = to_autocast_type(qkv_weight, qkv_bias)
    refusal = kernel_refusal(x, qkv_weight, qkv_bias, key_channels, num_heads)
    chosen, _ = choose_backend("pixel_attention_block", backend, x.device, refusal)
    scale = (key_channels / num_heads) ** -0.5 if scale is None else float(scale)
    tensors = (x, qkv_weight, qkv_bias, gamma, positional_encoding)
    settings = {"key_channels": key_channels, "num_heads": num_heads, "scale": scale}
    settings |= {"positional_encoding": positional_encoding}
    if chosen == "reference":
        y = pixel_attention_block_reference(*tensors[:4], **settings)
    elif torch.compiler.is_compiling():
        operator = torch.ops.slt_fast.pixel_attention_block
        y, *_ = operator(*tensors, key_channels, num_heads, scale)
    else:
        y, *_ = _PixelAttentionBlock.apply(*tensors, key_channels, num_heads, scale)
    return (y, block_attention_weights(*tensors[:3], **settings)) if return_attention else y


def kernel_refusal(
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    key_channels: int,
    num_heads: int,
) -> str | None:
    """Why the kernels cannot take these tensors, on whatever machine; None if they can."""
    B, C, H, W = x.shape
    if x.dtype != qkv_weight.dtype and torch.promote_types(x.dtype, torch.float32) != torch.float32:
        return f"found a map of {x.dtype}, the kernels take float32, float16 and bfloat16"
    dtypes = {qkv_weight.dtype} | (set() if qkv_bias is None else {qkv_bias.dtype})
    channels = (key_channels // num_heads, C // num_heads)
    return attention_launch.refusal(dtypes, (B, num_heads, H * W, H * W, *channels))


def check(
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    key_channels: int,
    num_heads: int,
    positional_encoding: torch.Tensor | None,
) -> None:
    """Whether the shapes fit.

    Raises:
        ValueError: They do not.
    """
    if x.ndim != 4 or not x.is_floating_point():
        found = f"found x of {x.dtype} {list(x.shape)}; expected floating-point [B, C, H, W]"
        raise ValueError(f"pixel_attention_block: {found}")
    if x.dtype != qkv_weight.dtype and not torch.is_autocast_enabled(x.device.type):
        found = f"found x of {x.dtype} and qkv_weight of {qkv_weight.dtype}"
        raise ValueError(f"pixel_attention_block: {found}; expected one type, or autocast")
    others = {"qkv_weight": qkv_weight, "qkv_bias": qkv_bias, "gamma": gamma}
    others["positional_encoding"] = positional_encoding
    check_devices("pixel_attention_block", x.device, others)
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


class _PixelAttentionBlock(torch.autograd.Function):
    """The kernels in eager mode, with the transforms of torch.func."""

    @staticmethod
    def forward(
        x, qkv_weight, qkv_bias, gamma, positional_encoding, key_channels, num_heads, scale
    ):
        tensors = (x, qkv_weight, qkv_bias, gamma, positional_encoding)
        y, saved = launch.forward(*tensors, key_channels, num_heads, scale)
        return (y, *(x.new_empty(0) if tensor is None else tensor for tensor in saved))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.settings = inputs[5:]
        ctx.set_materialize_grads(False)  # none as large as qkv for outputs that have no gradient
        ctx.mark_non_differentiable(*output[1:])
        saved = (tensor if tensor.numel() else None for tensor in output[1:])
        ctx.save_for_backward(*inputs[:5], *saved)

    @staticmethod
    def backward(ctx, gradient, *_):
        if gradient is None:
            return (None,) * 8
        *inputs, qkv, attended, row_statistics = ctx.saved_tensors
        if torch.is_grad_enabled():  # someone may differentiate these gradients
            gradients = pixel_attention_block_gradients(gradient, *inputs, *ctx.settings)
        else:
            saved = (qkv, attended, row_statistics)
            needed = ctx.needs_input_grad[:5]
            gradients = launch.backward(gradient, *inputs, saved, *ctx.settings, needed)
        return (*gradients, None, None, None)

    @staticmethod
    def vmap(info, in_dims, *arguments):
        return registration.call_by_call(_PixelAttentionBlock.apply, info, in_dims, *arguments)
