"""The fused attention inside models that others wrote.

use_pixel_attention(model) swaps it into torchvision's Swin and ViT and into nn.MultiheadAttention;
attend_maps and fused_sagan_block serve SAGAN and non-local blocks, which have no class of their
own. Outputs and gradients stay the model's, up to rounding. Nothing is patched at import.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.swin_transformer import ShiftedWindowAttention, ShiftedWindowAttentionV2

from slt_fast.layers import PixelAttention2d
from slt_fast.ops import pixel_attention
from slt_fast.ops.backend import BACKENDS


def use_pixel_attention(model: nn.Module, *, backend: str = "auto") -> int:
    """Swaps the fused attention into a model, in place.

    Swapped are modules of exactly these classes, not of classes derived from them:
    nn.MultiheadAttention (torchvision's ViT has it) and torchvision's ShiftedWindowAttention and
    ShiftedWindowAttentionV2 (Swin). Only their class changes, so parameters, their names, hooks and
    state dicts stay. With attention dropout such a module refuses to run in training mode.

    nn.TransformerEncoderLayer in evaluation without gradients goes round its attention, swapped or
    not, unless torch.backends.mha.set_fastpath_enabled(False) was called. For torch.fx, and so for
    torchvision's create_feature_extractor, name the swapped modules' classes as leaf_modules.

    Args:
        model: Holds such modules, or is one.
        backend: As for slt_fast.ops.pixel_attention.

    Returns:
        How many modules were swapped.

    Raises:
        ValueError: Nothing to swap, an attention of a kind that cannot be (then none is), or an
            unknown backend.
    """
    if backend not in BACKENDS:
        found = f"found backend {backend!r}; expected one of {BACKENDS}"
        raise ValueError(f"use_pixel_attention: {found}")
    modules = {name: part for name, part in model.named_modules() if type(part) in _FUSED}
    if not modules:
        expected = ", ".join(original.__name__ for original in _FUSED)
        raise ValueError(
            f"use_pixel_attention: found nothing to swap in {type(model).__name__}; "
            f"expected a module of class {expected}"
        )
    for name, module in modules.items():
        if isinstance(module, nn.MultiheadAttention):
            _check_multihead(module, name or type(model).__name__)
    for module in modules.values():
        module.__class__ = _FUSED[type(module)]
        module.backend = backend
    return len(modules)


def attend_maps(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    scale: float | None = 1.0,
    backend: str = "auto",
) -> torch.Tensor:
    """Lets each position of a map look at all positions of others: softmax(q k^T * scale) v.

    What stands between the 1x1 convolutions of a SAGAN block (Zhang et al., 2019) or a non-local
    one (Wang et al., 2018), whose keys and values may be pooled.

    Args:
        query: [B, dk, H, W], or with other position sizes, such as [B, dk, T, H, W].
        key: [B, dk, h, w].
        value: [B, dv, h, w].
        scale: Factor on q k^T; both papers have none. None means dk ** -0.5.
        backend: As for slt_fast.ops.pixel_attention.

    Returns:
        [B, dv, H, W], the channels of a position side by side in memory (channels_last).

    Raises:
        ValueError: Shapes that do not fit, or a backend that cannot run.
    """
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        if tensor.ndim < 3:
            found = f"found {name} of {list(tensor.shape)}; expected [B, channels, H, W]"
            raise ValueError(f"attend_maps: {found}")
    if key.shape[2:] != value.shape[2:]:
        found = f"found value of {list(value.shape)}; expected the positions of key"
        raise ValueError(f"attend_maps: {found}, {list(key.shape)}")
    q, k, v = (tensor.flatten(2).mT.unsqueeze(1) for tensor in (query, key, value))
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
    first, then convert, then hand the new parameters to an optimizer. Convolutions under spectral
    or weight norm are refused, since each is normalised on its own: keep them with attend_maps, or
    remove the norm first.

    Args:
        query: 1x1 convolution, C -> dk channels.
        key: 1x1 convolution, C -> dk channels.
        value: 1x1 convolution, C -> C channels.
        gamma: One number, in any shape.
        scale: Factor on q k^T; SAGAN has none.
        backend: As for slt_fast.ops.pixel_attention_block.

    Returns:
        The module, of the type and on the device of the convolutions; [B, C, H, W] -> the same.

    Raises:
        ValueError: Parts that do not make such a block.
    """
    C, dk = getattr(query, "in_channels", None), getattr(query, "out_channels", None)
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
    block.qkv.bias = None
    if query.bias is not None:
        biases = torch.cat([part.bias.detach() for part in parts])
        block.qkv.bias = nn.Parameter(biases, query.bias.requires_grad)
    block.gamma = nn.Parameter(gamma.detach().clone().reshape(()), gamma.requires_grad)
    return block


def _check_part(name: str, part: nn.Module, in_channels: int, out_channels: int) -> None:
    """A plain 1x1 convolution."""
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
    names = [parameter for parameter, _ in part.named_parameters()]
    wrong += [f"parameter {other}" for other in names if other not in ("weight", "bias")]
    if wrong:
        raise ValueError(f"fused_sagan_block: found {name} with {'; '.join(wrong)}")


def _check_alike(parts: tuple[nn.Conv2d, ...], gamma: torch.Tensor) -> None:
    """Parts that can become one parameter."""
    kinds = {
        ", ".join(
            f"{name} {parameter.dtype} {parameter.device} requires_grad={parameter.requires_grad}"
            for name, parameter in part.named_parameters()
        ): None
        for part in parts
    }
    if len(kinds) > 1:
        raise ValueError(f"fused_sagan_block: found parts of {len(kinds)} kinds: {list(kinds)}")
    if gamma.numel() != 1:
        found = f"found gamma of {list(gamma.shape)}; expected one number"
        raise ValueError(f"fused_sagan_block: {found}")


class FusedMultiheadAttention(nn.MultiheadAttention):
    """nn.MultiheadAttention over the fused attention; see use_pixel_attention."""

    backend = "auto"

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Computes what nn.MultiheadAttention does; a query that sees no key gets zeros.

        Args:
            query: [B, Nq, C].
            key: [B, Nk, C].
            value: [B, Nk, C].
            key_padding_mask: [B, Nk]; True = padding, or added to the scores.
            need_weights: Whether the weights are returned, too: by the reference formula.
            attn_mask: [Nq, Nk] or [B * heads, Nq, Nk]; True = hidden, or added to the scores.
            average_attn_weights: Whether these weights are the mean over heads.
            is_causal: A hint that attn_mask is causal; not used.

        Returns:
            [B, Nq, C], and None or the weights, [B, Nq, Nk] or [B, heads, Nq, Nk].

        Raises:
            ValueError: Shapes or settings that the fused attention does not take.
        """
        _check_multihead(self, type(self).__name__)
        _check_dropout(self, "dropout", self.dropout)
        if query.ndim != 3 or query.is_nested:
            kind = "a nested tensor" if query.is_nested else list(query.shape)
            found = f"found query of {kind}; expected [B, Nq, C]"
            raise ValueError(f"FusedMultiheadAttention: {found}")
        if is_causal and attn_mask is None:
            raise ValueError("FusedMultiheadAttention: found is_causal; expected attn_mask with it")
        q, k, v = (
            projected.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for projected in self._projected(query, key, value)
        )
        bias = _masks_as_bias(attn_mask, key_padding_mask, q, k)
        attended, weights = _attend(q, k, v, bias, need_weights, self.backend)
        if need_weights and average_attn_weights:
            weights = weights.mean(1)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), weights

    def _projected(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        if query is key and key is value:
            return F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=2)
        weights = self.in_proj_weight.chunk(3)
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return tuple(map(F.linear, (query, key, value), weights, biases))


def _check_multihead(module: nn.MultiheadAttention, name: str) -> None:
    found = [
        text
        for text, is_found in (
            ("batch_first=False", not module.batch_first),
            ("add_bias_kv=True", module.bias_k is not None),
            ("add_zero_attn=True", module.add_zero_attn),
            ("kdim or vdim other than embed_dim", module.in_proj_weight is None),
        )
        if is_found
    ]
    if found:
        raise ValueError(f"{name}: found {', '.join(found)}; the fused attention does not take it")


def _masks_as_bias(
    attn_mask: torch.Tensor | None,
    key_padding_mask: torch.Tensor | None,
    q: torch.Tensor,
    k: torch.Tensor,
) -> torch.Tensor | None:
    """Both masks as what is added to the scores, broadcasting to [B, heads, Nq, Nk]."""
    B, heads, Nq, _ = q.shape
    Nk = k.shape[2]
    biases = []
    for name, mask, sizes in (
        ("attn_mask", attn_mask, {(Nq, Nk): (1, 1), (B * heads, Nq, Nk): (B, heads)}),
        ("key_padding_mask", key_padding_mask, {(B, Nk): (B, 1)}),
    ):
        if mask is None:
            continue
        if tuple(mask.shape) not in sizes:
            expected = " or ".join(str(list(size)) for size in sizes)
            found = f"found {name} of {list(mask.shape)}; expected {expected}"
            raise ValueError(f"FusedMultiheadAttention: {found}")
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill(mask, -torch.inf)
        biases.append(mask.reshape(*sizes[tuple(mask.shape)], -1, Nk))
    return sum(biases) if biases else None


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    need_weights: bool,
    backend: str,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Output and weights (or None), with zeros for queries from which all keys are hidden."""
    if bias is not None:
        blind = (bias == -torch.inf).all(-1, keepdim=True)
        bias = bias.masked_fill(blind, 0)  # else NaN, in all gradients too
    results = pixel_attention(q, k, v, bias=bias, return_attention=need_weights, backend=backend)
    attended, weights = results if need_weights else (results, None)
    if bias is not None:
        attended = attended.masked_fill(blind, 0)
        weights = weights.masked_fill(blind, 0) if need_weights else None
    return attended, weights


class FusedShiftedWindowAttention(ShiftedWindowAttention):
    """Swin's attention (Liu et al., 2021) over the fused one; see use_pixel_attention."""

    backend = "auto"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, H, W, C] -> the same; ValueError for attention dropout in training mode."""
        return _window_attention(self, x)


class FusedShiftedWindowAttentionV2(ShiftedWindowAttentionV2):
    """Swin V2's cosine attention (Liu et al., 2022) likewise."""

    backend = "auto"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, H, W, C] -> the same; ValueError for attention dropout in training mode."""
        return _window_attention(self, x)


_FUSED = {
    nn.MultiheadAttention: FusedMultiheadAttention,
    ShiftedWindowAttention: FusedShiftedWindowAttention,
    ShiftedWindowAttentionV2: FusedShiftedWindowAttentionV2,
}


def _check_dropout(module: nn.Module, name: str, probability: float) -> None:
    """No silent way round the kernels: dropout needs the weights, which they never hold."""
    if module.training and probability > 0:
        raise ValueError(
            f"{type(module).__name__}: found {name}={probability} in training mode; expected 0, "
            "as the fused attention never holds the weights to drop"
        )


def _window_attention(module: ShiftedWindowAttention, x: torch.Tensor) -> torch.Tensor:
    _check_dropout(module, "attention_dropout", module.attention_dropout)
    windows = _Windows(x.shape[1], x.shape[2], module.window_size, module.shift_size)
    q, k, v = _window_projections(module, windows.cut(x))
    bias = module.get_relative_position_bias()
    if any(windows.shift):
        # One entry for each window; the operator repeats them over the images.
        bias = bias + windows.mask(x.device).to(bias.dtype)
    scale = 1.0 if isinstance(module, ShiftedWindowAttentionV2) else None
    attended = pixel_attention(q, k, v, bias=bias, scale=scale, backend=module.backend)
    out = F.linear(attended.transpose(1, 2).flatten(2), module.proj.weight, module.proj.bias)
    return windows.join(F.dropout(out, module.dropout, module.training))


def _window_projections(
    module: ShiftedWindowAttention, tokens: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """q, k and v, each [B * windows, heads, N, C / heads]; V2's scale is in q."""
    is_cosine = isinstance(module, ShiftedWindowAttentionV2)
    qkv_bias = module.qkv.bias
    if is_cosine and qkv_bias is not None:
        q_bias, k_bias, v_bias = qkv_bias.chunk(3)
        qkv_bias = torch.cat([q_bias, torch.zeros_like(k_bias), v_bias])  # V2 has no key bias
    qkv = F.linear(tokens, module.qkv.weight, qkv_bias).unflatten(2, (3, module.num_heads, -1))
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()
    if is_cosine:
        factor = module.logit_scale.clamp(max=math.log(100)).exp()  # tau > 0.01 (2022, 3.3)
        q, k = F.normalize(q, dim=-1) * factor, F.normalize(k, dim=-1)
    return q, k, v


class _Windows:
    """How a map is padded to whole windows, shifted cyclically and cut (Liu et al., 2021, 3.2)."""

    def __init__(self, H: int, W: int, window_size: list[int], shift_size: list[int]) -> None:
        self.sizes = (H, W)
        self.window = tuple(window_size)
        self.counts = tuple(
            -(-size // window) for size, window in zip(self.sizes, self.window, strict=True)
        )
        # A single window has no neighbour to look into.
        self.shift = tuple(
            0 if count == 1 else shift for count, shift in zip(self.counts, shift_size, strict=True)
        )

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width in whole windows."""
        return self.counts[0] * self.window[0], self.counts[1] * self.window[1]

    def cut(self, x: torch.Tensor) -> torch.Tensor:
        """[B, H, W, C] -> [B * windows, N, C]; the windows of an image follow one another."""
        bottom, right = (whole - size for whole, size in zip(self.padded, self.sizes, strict=True))
        if bottom or right:
            x = F.pad(x, (0, 0, 0, right, 0, bottom))
        if any(self.shift):
            x = x.roll([-shift for shift in self.shift], dims=(1, 2))
        return self._partition(x)

    def _partition(self, x: torch.Tensor) -> torch.Tensor:
        x = x.unflatten(2, (self.counts[1], self.window[1]))
        x = x.unflatten(1, (self.counts[0], self.window[0]))
        return x.transpose(2, 3).flatten(0, 2).flatten(1, 2)

    def join(self, tokens: torch.Tensor) -> torch.Tensor:
        """[B * windows, N, C] -> [B, H, W, C]."""
        x = tokens.unflatten(1, self.window).unflatten(0, (-1, *self.counts))
        x = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if any(self.shift):
            x = x.roll(self.shift, dims=(1, 2))
        return x[:, : self.sizes[0], : self.sizes[1]].contiguous()

    def mask(self, device: torch.device) -> torch.Tensor:
        """[windows, 1, N, N]: -100, as in Swin, between opposite edges that the shift joined."""
        rows, columns = (
            torch.arange(size, device=device) >= size - shift
            for size, shift in zip(self.padded, self.shift, strict=True)
        )
        edges = self._partition((2 * rows[:, None] + columns)[None, :, :, None]).squeeze(2)
        return (edges[:, None, :, None] != edges[:, None, None, :]) * -100.0
