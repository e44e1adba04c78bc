"""Parity of the operators' outputs and gradients with the plain formula in float64."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks import eager, parity
from benchmarks.cases import Case, Inputs, make_inputs
from benchmarks.peers import ours, plain
from slt_fast.ops import pixel_attention


@dataclass(frozen=True)
class AttentionShape:
    """Sizes of q, k, v and of a bias, and how they lie in memory.

    Args:
        sizes: B, heads, Nq, Nk, dk, dv.
        bias: Shape of the bias, which needs a gradient; None for no bias.
        strides: "dense", "channels first", "sliced", or "expanded gradient".
    """

    sizes: tuple[int, int, int, int, int, int]
    bias: tuple[int, ...] | None = None
    strides: str = "dense"


@dataclass(frozen=True)
class BlockShape:
    """Sizes of the block's map, and which of its parts are there.

    Args:
        sizes: B, C, H, W.
        key_channels: Channels of queries and keys over all heads.
        num_heads: Heads.
        layout: "channels_last" or "nchw".
        gamma: Factor of the attention.
        is_bare: Without bias and encoding.
        strides: As for AttentionShape, of map and gradient.
    """

    sizes: tuple[int, int, int, int]
    key_channels: int = 16
    num_heads: int = 1
    layout: str = "channels_last"
    gamma: float = 0.7
    is_bare: bool = False
    strides: str = "dense"


def check_attention(
    shape: AttentionShape, dtype: str, device: str, function: Callable | None = None
) -> dict:
    """Parity of pixel_attention; another function than ours can be checked the same way."""
    B, heads, Nq, Nk, dk, dv = shape.sizes
    sizes = [(B, heads, Nq, dk), (B, heads, Nk, dk), (B, heads, Nk, dv)]
    sizes += [] if shape.bias is None else [shape.bias]
    generator = torch.Generator(device).manual_seed(0)
    tensors = [torch.randn(size, generator=generator, device=device) for size in sizes]
    gradient = torch.randn(B, heads, Nq, dv, generator=generator, device=device) + 0.5
    names = ("q", "k", "v", "bias")[: len(tensors)]
    inputs = Inputs(tuple(tensors), (), gradient, 3, names)
    inputs = inputs.changed(lambda tensor: tensor.to(getattr(torch, dtype)))
    return _outcome(function or _attention, eager.attention_tokens, inputs, shape.strides)


def _attention(q, k, v, bias=None) -> torch.Tensor:
    return pixel_attention(q, k, v, bias=bias, backend="triton")


def check_block(shape: BlockShape, dtype: str, device: str) -> dict:
    """Parity of pixel_attention_block."""
    B, C, H, W = shape.sizes
    channels = {"C": C, "key_channels": shape.key_channels, "num_heads": shape.num_heads}
    case = Case("pixel_attention_block", B, H, W, **channels, dtype=dtype, device=device)
    inputs = make_inputs(case, shape.layout)
    *others, gamma = inputs.leaves
    gamma = torch.full_like(gamma, shape.gamma).requires_grad_()
    inputs = dataclasses.replace(inputs, leaves=(*others, gamma))
    function, formula = ours(case, "triton"), plain(case)
    if shape.is_bare:
        x, weight, _, gamma = inputs.leaves
        names = ("x", "qkv_weight", "gamma")
        inputs = dataclasses.replace(inputs, leaves=(x, weight, gamma), constants=(), names=names)
        function, formula = (functools.partial(_bare, whole) for whole in (function, formula))
    return _outcome(function, formula, inputs, shape.strides)


def _bare(whole: Callable, x, qkv_weight, gamma) -> torch.Tensor:
    return whole(x, qkv_weight, None, gamma, None)


def check_encoding(
    sizes: tuple[int, int, int, int], layout: str, strides: str, dtype: str, device: str
) -> dict:
    """Parity of add_positional_encoding_2d."""
    B, C, H, W = sizes
    case = Case("positional_encoding", B, H, W, C=C, dtype=dtype, device=device)
    return _outcome(ours(case, "triton"), plain(case), make_inputs(case, layout), strides)


def _outcome(function: Callable, formula: Callable, inputs: Inputs, strides: str) -> dict:
    """Checks a function with inputs that lie in memory as asked."""
    inputs = strided(inputs, strides)
    frames = list(range(len(inputs.gradient)))
    reference = parity.Reference.build(formula, inputs, frames)
    found = parity.check(function, inputs, reference)
    return {
        "passed": found.passed,
        "worst": found.worst,
        "errors": found.errors,
        "bounds": found.bounds,
    }


def strided(inputs: Inputs, strides: str) -> Inputs:
    """The same shapes, with other strides; "expanded gradient" has other values, too."""
    if strides == "dense":
        return inputs
    if strides == "expanded gradient":
        gradient = inputs.gradient[..., :1].expand_as(inputs.gradient)
        return dataclasses.replace(inputs, gradient=gradient)
    change = {"channels first": _channels_first, "sliced": _sliced}[strides]
    return inputs.changed(lambda tensor: change(tensor) if tensor.ndim == 4 else tensor)


def _channels_first(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.mT.contiguous().mT


def _sliced(tensor: torch.Tensor) -> torch.Tensor:
    """A view into a tensor twice as large in its last two dimensions."""
    holder = tensor.new_full((*tensor.shape[:2], 2 * tensor.shape[2], 2 * tensor.shape[3]), 7.0)
    view = holder[:, :, ::2, ::2]
    view.copy_(tensor)
    return view
