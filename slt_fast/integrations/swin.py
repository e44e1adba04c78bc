"""The window attentions of torchvision's Swin, both versions, with the fused attention."""

import math

import torch
from torch.nn import functional as F
from torchvision.models.swin_transformer import ShiftedWindowAttention, ShiftedWindowAttentionV2

from slt_fast.integrations.multihead import check_dropout
from slt_fast.ops import pixel_attention
from slt_fast.ops.backend import check_tensors


class FusedShiftedWindowAttention(ShiftedWindowAttention):
    """Swin's attention (Liu et al., 2021) with the fused one; see use_pixel_attention."""

    backend = "auto"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, H, W, C] -> the same; ValueError for attention dropout in training mode."""
        return _window_attention(self, x)


class FusedShiftedWindowAttentionV2(ShiftedWindowAttentionV2):
    """Swin V2's cosine attention (Liu et al., 2022) with the fused one."""

    backend = "auto"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, H, W, C] -> the same; ValueError for attention dropout in training mode."""
        return _window_attention(self, x)


def _window_attention(module: ShiftedWindowAttention, x: torch.Tensor) -> torch.Tensor:
    check_dropout(module, "attention_dropout", module.attention_dropout)
    name = type(module).__name__
    check_tensors(name, {"x": x})
    if x.ndim != 4:
        raise ValueError(f"{name}: found x of {list(x.shape)}; expected [B, H, W, C]")
    windows = _Windows(x.shape[1], x.shape[2], module.window_size, module.shift_size)
    q, k, v = _window_projections(module, windows.cut(x))
    bias = module.get_relative_position_bias()
    if any(windows.shift):
        # One entry for each window; the operator repeats the entries for each image.
        bias = bias + windows.mask(x.device).to(bias.dtype)
    scale = 1.0 if isinstance(module, ShiftedWindowAttentionV2) else None
    attended = pixel_attention(q, k, v, bias=bias, scale=scale, backend=module.backend)
    out = F.linear(attended.transpose(1, 2).flatten(2), module.proj.weight, module.proj.bias)
    return windows.join(F.dropout(out, module.dropout, module.training))


def _window_projections(
    module: ShiftedWindowAttention, tokens: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Returns q, k and v, each [B * windows, heads, N, C / heads]; q contains the scale of V2."""
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
    """Pads a map to whole windows, shifts it cyclically and cuts it (Liu et al., 2021, 3.2)."""

    def __init__(self, H: int, W: int, window_size: list[int], shift_size: list[int]) -> None:
        self.sizes = (H, W)
        self.window = tuple(window_size)
        self.counts = tuple(
            -(-size // window) for size, window in zip(self.sizes, self.window, strict=True)
        )
        # A single window is not shifted: it has no neighbour.
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
        """Returns [windows, 1, N, N]: -100, as in Swin, between edges that the shift joined."""
        rows, columns = (
            torch.arange(size, device=device) >= size - shift
            for size, shift in zip(self.padded, self.shift, strict=True)
        )
        edges = self._partition((2 * rows[:, None] + columns)[None, :, :, None]).squeeze(2)
        return (edges[:, None, :, None] != edges[:, None, None, :]) * -100.0
