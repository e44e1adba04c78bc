"""Modules over the operators: encoding, pixel-wise attention, feed-forward."""

from typing import Any

import torch
from torch import nn

from slt_fast.errors import UserError
from slt_fast.ops.pixel_attention_block import block_attention_weights, pixel_attention_block
from slt_fast.ops.positional_encoding import add_positional_encoding_2d, positional_encoding_2d
from slt_fast.ops.positional_encoding.operator import check


class PositionalEncoding2d(nn.Module):
    """Adds the 2-D sinusoidal encoding to maps [B, C, H, W] of any size; C divisible by 4."""

    def __init__(self, *, backend: str = "auto") -> None:
        super().__init__()
        self.backend = backend

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> the same."""
        return add_positional_encoding_2d(x, backend=self.backend)


class PixelAttention2d(nn.Module):
    """2-D pixel-wise self-attention with a learnable residual: y = h + gamma * attention(h).

    Args:
        channels: Channels C of the map, divisible by num_heads.
        key_channels: Channels of query and key over all heads; None means C / 8.
        num_heads: Heads; 1 as in the paper.
        scale: Factor on q k^T; None means (key_channels / num_heads) ** -0.5.
        gamma_start: Initial value of gamma.
        positional_encoding: Whether h = x + encoding, or h = x.
        backend: As for slt_fast.ops.pixel_attention_block.

    Raises:
        UserError: The heads do not divide the channels, or C is not divisible by 4 with encoding.
    """

    def __init__(
        self,
        channels: int,
        *,
        key_channels: int | None = None,
        num_heads: int = 1,
        scale: float | None = None,
        gamma_start: float = 0.0,
        positional_encoding: bool = True,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.key_channels = max(channels // 8, 1) if key_channels is None else key_channels
        if min(num_heads, self.key_channels) < 1 or any(
            number % num_heads for number in (channels, self.key_channels)
        ):
            raise UserError(
                f"PixelAttention2d: found {num_heads} heads; expected a divisor of {channels} "
                f"channels and {self.key_channels} key channels"
            )
        if positional_encoding and channels % 4:
            raise UserError(f"PixelAttention2d: found {channels} channels; expected 4 * n")
        self.num_heads, self.scale, self.backend = num_heads, scale, backend
        self.positional_encoding = positional_encoding
        # Three 1x1 convolutions in one: rows q, k, v.
        self.qkv = nn.Linear(channels, 2 * self.key_channels + channels)
        self.gamma = nn.Parameter(torch.tensor(float(gamma_start)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> the same."""
        weight, bias, settings = self.qkv.weight, self.qkv.bias, self._settings(x)
        return pixel_attention_block(x, weight, bias, self.gamma, backend=self.backend, **settings)

    def attention_weights(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> the softmax's weights [B, heads, H*W, H*W], by the plain formula."""
        return block_attention_weights(x, self.qkv.weight, self.qkv.bias, **self._settings(x))

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> h, the map that the attention is added to."""
        if not self.positional_encoding:
            return x
        return add_positional_encoding_2d(x, backend=self.backend)

    def _settings(self, x: torch.Tensor) -> dict[str, Any]:
        encoding = None
        if self.positional_encoding:
            check(x)
            _, C, H, W = x.shape
            is_channels_last = x.stride(1) == 1
            encoding = positional_encoding_2d(
                C, H, W, dtype=x.dtype, device=x.device, channels_last=is_channels_last
            )
        return {
            "key_channels": self.key_channels,
            "num_heads": self.num_heads,
            "positional_encoding": encoding,
            "scale": self.scale,
        }


class ConvFeedForward(nn.Sequential):
    """Two 3x3 convolutions with batch norm and ReLU between: conv(ReLU(BN(conv(x)))).

    Args:
        channels: Channels of the map.
        depthwise: Whether each convolution is a depthwise 3x3 and a pointwise 1x1.
    """

    def __init__(self, channels: int, *, depthwise: bool = False) -> None:
        super().__init__(
            _convolution(channels, depthwise),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            _convolution(channels, depthwise),
        )


class PixelAttentionLayer(nn.Module):
    """The paper's encoder layer: pixel-wise attention, then the convolutional feed-forward.

    The placement of the norms is our assumption:
        post:  y = BN(h + gamma attention(h));  z = BN(y + feed_forward(y))
        pre:   y = x + encoding + gamma attention(BN(x) + encoding);  z = y + feed_forward(BN(y))

    Args:
        attention: The attention, with its residual; or the residual h alone, x + encoding or x.
        channels: Channels of the map.
        norm_placement: "post" or "pre".
        depthwise: As for ConvFeedForward.
    """

    def __init__(
        self,
        attention: nn.Module,
        channels: int,
        *,
        norm_placement: str = "post",
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        if norm_placement not in ("post", "pre"):
            raise UserError(f"norm_placement: found {norm_placement!r}; expected post or pre")
        self.norm_placement = norm_placement
        self.attention = attention
        self.feed_forward = ConvFeedForward(channels, depthwise=depthwise)
        self.attention_norm = nn.BatchNorm2d(channels)
        self.feed_forward_norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> the same."""
        if self.norm_placement == "post":
            y = self.attention_norm(self.attention(x))
            return self.feed_forward_norm(y + self.feed_forward(y))
        normed = self.attention_norm(x)
        # The attention adds its own input; the residual path of "pre" is the layer's.
        y = x + (self.attention(normed) - normed)
        return y + self.feed_forward(self.feed_forward_norm(y))


def _convolution(channels: int, depthwise: bool) -> nn.Module:
    if not depthwise:
        return nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
    )
