"""Attention between maps, for SAGAN and non-local blocks, which have no common class."""

import torch
from torch import nn

from slt_fast.layers import PixelAttention2d
from slt_fast.ops import pixel_attention
from slt_fast.ops.backend import check_tensors


def attend_maps(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    scale: float | None = 1.0,
    backend: str = "auto",
) -> torch.Tensor:
    """Computes softmax(q k^T * scale) v between the positions of maps.

    This is the part of a SAGAN block (Zhang et al., 2019) or non-local block (Wang et al., 2018)
    between the 1x1 convolutions. Keys and values may be pooled.

    Args:
        query: [B, dk, H, W], or with other position sizes, such as [B, dk, T, H, W].
        key: [B, dk, h, w].
        value: [B, dv, h, w].
        scale: Factor on q k^T; 1 in both papers. None means dk ** -0.5.
        backend: As for slt_fast.ops.pixel_attention.

    Returns:
        [B, dv, H, W], channels_last.

    Raises:
        TypeError: An argument is not a tensor.
        ValueError: Shapes, types or devices that do not fit, or a backend that cannot run.
    """
    tensors = {"query": query, "key": key, "value": value}
    check_tensors("attend_maps", tensors)
    for name, tensor in tensors.items():
        if tensor.ndim < 3:
            found = f"found {name} of {list(tensor.shape)}; expected [B, channels, H, W]"
            raise ValueError(f"attend_maps: {found}")
    if key.shape[2:] != value.shape[2:]:
        found = f"found value of {list(value.shape)}; expected the positions of key"
        raise ValueError(f"attend_maps: {found}, {list(key.shape)}")
    q, k, v = (tensor.flatten(2).mT.unsqueeze(1) for tensor in tensors.values())
    out = pixel_attention(q, k, v, scale=scale, backend=backend)
    return out.squeeze(1).mT.unflatten(2, query.shape[2:])


def fused_sagan_block(
    query: nn.Conv2d,
    key: nn.Conv2d,
    value: nn.Conv2d,
    gamma: torch.Tensor,
    *,
    scale: float = 1.0,
    backend: str = "auto",
) -> PixelAttention2d:
    """Makes one fused module of a SAGAN block, x + gamma * value(x) softmax(query(x) key(x)).

    The parts are copied into other parameters (qkv.weight, qkv.bias, gamma): load trained weights
    first, then convert, then give the new parameters to an optimizer. Convolutions with spectral or
    weight norm raise an error, because each is normalised on its own: keep them with attend_maps,
    or remove the norm first.

    Args:
        query: 1x1 convolution, C -> dk channels.
        key: 1x1 convolution, C -> dk channels.
        value: 1x1 convolution, C -> C channels.
        gamma: One number, in any shape.
        scale: Factor on q k^T; 1 in SAGAN.
        backend: As for slt_fast.ops.pixel_attention_block.

    Returns:
        The module, of the type and on the device of the convolutions; [B, C, H, W] -> the same.

    Raises:
        TypeError: gamma is not a tensor.
        ValueError: Parts that do not make such a block.
    """
    C, dk = getattr(query, "in_channels", 0), getattr(query, "out_channels", 0)
    _check_part("query", query, C, dk)
    _check_part("key", key, C, dk)
    _check_part("value", value, C, C)
    parts = (query, key, value)
    _check_alike(parts, gamma)
    block = PixelAttention2d(
        C, key_channels=dk, scale=scale, positional_encoding=False, backend=backend
    )
    weights = torch.cat([part.weight.detach() for part in parts]).flatten(1)
    block.qkv.weight = nn.Parameter(weights, query.weight.requires_grad)
    biases = [part.bias.detach() for part in parts if part.bias is not None]
    block.qkv.register_parameter("bias", None)
    if query.bias is not None:
        block.qkv.bias = nn.Parameter(torch.cat(biases), query.bias.requires_grad)
    block.gamma = nn.Parameter(gamma.detach().clone().reshape(()), gamma.requires_grad)
    return block


def _check_part(name: str, part: nn.Module, in_channels: int, out_channels: int) -> None:
    """Raises ValueError if a part is not a plain 1x1 convolution."""
    expected = {
        "class": "Conv2d",
        "in_channels": in_channels,
        "out_channels": out_channels,
        "kernel_size": (1, 1),
        "stride": (1, 1),
        "padding": (0, 0),
        "groups": 1,
    }
    found = {setting: getattr(part, setting, None) for setting in expected}
    found["class"] = type(part).__name__
    wrong = [
        f"{setting} {found[setting]}, expected {value}"
        for setting, value in expected.items()
        if found[setting] != value
    ]
    names = [name for name, _ in part.named_parameters()] if isinstance(part, nn.Module) else []
    wrong += [f"parameter {other}" for other in names if other not in ("weight", "bias")]
    if wrong:
        raise ValueError(f"fused_sagan_block: found {name} with {'; '.join(wrong)}")


def _check_alike(parts: tuple[nn.Conv2d, ...], gamma: torch.Tensor) -> None:
    """Raises ValueError if the parts cannot become one parameter."""
    kinds = {
        ", ".join(
            f"{name} {parameter.dtype} {parameter.device} requires_grad={parameter.requires_grad}"
            for name, parameter in part.named_parameters()
        ): None
        for part in parts
    }
    if len(kinds) > 1:
        raise ValueError(f"fused_sagan_block: found parts of {len(kinds)} kinds: {list(kinds)}")
    check_tensors("fused_sagan_block", {"the convolutions": parts[0].weight, "gamma": gamma})
    if gamma.numel() != 1 or not gamma.is_floating_point():
        kind = list(gamma.shape) if gamma.numel() != 1 else gamma.dtype
        found = f"found gamma of {kind}; expected one number of a floating-point type"
        raise ValueError(f"fused_sagan_block: {found}")
