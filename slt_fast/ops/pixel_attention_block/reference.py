"""2-D pixel-wise self-attention on a feature map, from positions to residual.

    h = x + positional_encoding
    q, k, v = qkv_weight h + qkv_bias          (1x1 convolutions)
    y = h + gamma * softmax(q k^T * scale) v   (over the H*W positions of each map)

The block of "Spatio-temporal transformer to support automatic sign language translation"
(arXiv 2502.02587), with the learnable residual gamma of SAGAN (Zhang et al., 2019).
"""

from __future__ import annotations

import torch

from slt_fast.ops.backend import choose_backend
from slt_fast.ops.pixel_attention import pixel_attention_reference


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
        x: [B, C, H, W], either memory format.
        qkv_weight: [2 * key_channels + C, C]; its rows in the order q, k, v.
        qkv_bias: [2 * key_channels + C], or None.
        gamma: Scalar tensor.
        key_channels: Channels of q, and of k, over all heads; divisible by num_heads, as is C.
        num_heads: Heads of the attention.
        positional_encoding: [C, H, W], or None.
        scale: Factor on q k^T; None means (key_channels / num_heads) ** -0.5.
        backend: "auto" or "reference".

    Returns:
        [B, C, H, W] in the type and memory format of x.

    Raises:
        ValueError: Shapes that do not fit, or a backend that cannot run.
    """
    _check(x, qkv_weight, qkv_bias, gamma, key_channels, num_heads, positional_encoding)
    choose_backend("pixel_attention_block", backend, x)
    return pixel_attention_block_reference(
        x,
        qkv_weight,
        qkv_bias,
        gamma,
        key_channels=key_channels,
        num_heads=num_heads,
        positional_encoding=positional_encoding,
        scale=scale,
    )


def pixel_attention_block_reference(
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    *,
    key_channels: int,
    num_heads: int = 1,
    positional_encoding: torch.Tensor | None = None,
    scale: float | None = None,
) -> torch.Tensor:
    """The formula in plain PyTorch; arguments as for pixel_attention_block."""
    B, C, H, W = x.shape
    h = x if positional_encoding is None else (x + positional_encoding).to(x.dtype)
    tokens = h.flatten(2).mT  # a view of a channels_last map
    qkv = torch.nn.functional.linear(tokens, qkv_weight, qkv_bias)
    q, k, v = (
        part.unflatten(-1, (num_heads, -1)).transpose(1, 2)
        for part in qkv.split([key_channels, key_channels, C], dim=-1)
    )
    attended = pixel_attention_reference(q, k, v, scale=scale)
    attended = attended.transpose(1, 2).flatten(2).mT.unflatten(2, (H, W))
    return h + gamma.reshape(()) * attended  # with no dimension, gamma leaves the type alone


def _check(
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    key_channels: int,
    num_heads: int,
    positional_encoding: torch.Tensor | None,
) -> None:
    if x.ndim != 4:
        found = f"found x of {list(x.shape)}; expected [B, C, H, W]"
        raise ValueError(f"pixel_attention_block: {found}")
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
