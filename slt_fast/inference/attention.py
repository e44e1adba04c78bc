"""Where a trained model looks: within each frame, and at which frames for each word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import nn

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.batching import PackedClips
from slt_fast.data.vocabulary import BOS, EOS
from slt_fast.errors import UserError
from slt_fast.inference.translate import evaluating
from slt_fast.layers import PixelAttention2d

HARDLY = 0.01  # a smaller change of the map is called hardly any


@dataclass(frozen=True)
class ClipAttention:
    """Where a model looks in a clip of T frames while it says S tokens.

    Args:
        positions: float32 [T, h, w]: how much the pixel-wise attention looks at each position of a
            frame, averaged over the positions that look and the heads; each frame sums to 1.
        frames: float32 [S, T]: how much the decoder looks at each frame for each token, averaged
            over its layers and heads; each token sums to 1.
        queries: int64 [T, 2]: row and column of one position that looks, in each frame.
        query_positions: float32 [T, h, w]: how much it looks at each position; each frame sums
            to 1.
        far_share: Share of the attention that goes to far positions (far_share, below).
        gamma: The attention's residual weight.
        change: Length of what the attention adds to the maps, over the length of the maps.
    """

    positions: torch.Tensor
    frames: torch.Tensor
    queries: torch.Tensor
    query_positions: torch.Tensor
    far_share: float
    gamma: float
    change: float

    def word_at(self, t: int) -> int:
        """Returns the token, but not "<eos>", that looks at a frame most; -1 if there is none."""
        return int(self.frames[:-1, t].argmax()) if len(self.frames) > 1 else -1

    def describe(self) -> list[str]:
        """Says in lines how far the attention looks, and how much it changes."""
        uniform = uniform_far_share(*self.positions.shape[1:])
        lines = [
            f"far attention: {self.far_share:.1%} (uniform attention: {uniform:.1%})",
            f"gamma {self.gamma:.3g}: the attention changes the maps by {self.change:.2%}",
        ]
        if self.change < HARDLY:
            lines.append("That is hardly anything: where it looks does not matter to this model.")
        return lines


def far_share(weights: torch.Tensor, h: int, w: int) -> float:
    """Returns the share of attention that goes to far positions, averaged over all that look.

    A position is far from another if their distance is more than half of the map's longer side.
    Each position of a map has some that are far. The share is 0 if each looks at itself only.

    Args:
        weights: float [..., h * w, h * w]; row i is how much position i looks at each position.
        h: Height of the map.
        w: Width of the map.
    """
    far = _is_far(h, w).to(weights.device)
    return float((weights.float() * far).sum(-1).mean())


def uniform_far_share(h: int, w: int) -> float:
    """Returns far_share of attention that looks at all positions of a map alike."""
    return float(_is_far(h, w).float().mean())


def attention_of(
    trained: TrainedModel,
    clip: PackedClips,
    tokens: Sequence[int],
    *,
    query: tuple[float, float] | None = None,
) -> ClipAttention:
    """Returns where a model in evaluation mode looks while it says a text.

    Args:
        trained: The model.
        clip: A single clip.
        tokens: The text's tokens without specials; the last row of the result is for "<eos>".
        query: Place whose attention is returned as query_positions: x and y from 0 (left, top) to
            1 (right, bottom). None takes in each frame the position whose attention is most
            concentrated: that of the lowest entropy, averaged over the heads.

    Raises:
        UserError: The model has no 2-D attention, or the clip has more frames than the device's
            memory holds.
        ValueError: There is not exactly one clip.
    """
    if len(clip.clips) != 1:
        raise ValueError(f"attention_of: found {len(clip.clips)} clips; expected one")
    network, T = trained.network, len(clip.images)
    layer, layers = network.image_encoder.layer, network.decoder.layers.layers
    attention = layer.attention
    if not isinstance(attention, PixelAttention2d):
        expected = "expected one with it, to see where it looks"
        raise UserError(f"checkpoint: found a model without 2-D attention; {expected}")
    device = next(network.parameters()).device
    text = torch.tensor([[BOS, *tokens, EOS]], device=device)
    modules = [each.multihead_attn for each in layers]
    with evaluating(trained, clip):
        given, seen = _inputs_of(layer), _inputs_of(attention)
        with given as entering, seen as maps, _weights_of(modules) as weights:
            encoded = network.encode(clip.images.to(device), clip.lengths.to(device))
            network.decode(encoded, text[:, :-1])
        # Frame by frame: the weights of a frame take (h * w) ** 2 numbers a head.
        looks = [
            _look(attention, before, each, query)
            for first, x in zip(entering, maps, strict=True)
            for before, each in zip(first.split(1), x.split(1), strict=True)
        ]
    h, w = maps[0].shape[2:]
    frames = torch.stack(weights).float().mean(0)[0]  # [S, T] or [S, T * h * w]
    places = torch.tensor([look.query for look in looks])
    return ClipAttention(
        torch.stack([look.positions for look in looks]).view(T, h, w),
        frames.view(len(frames), T, -1).sum(2).cpu(),
        torch.stack([places // w, places % w], dim=1),
        torch.stack([look.query_positions for look in looks]).view(T, h, w),
        sum(look.far_share for look in looks) / T,
        attention.gamma.item(),
        (sum(look.added for look in looks) / sum(look.before for look in looks)) ** 0.5,
    )


class _Look(NamedTuple):
    """Where the pixel-wise attention looks in one frame; on the CPU."""

    positions: torch.Tensor  # float32 [h * w]
    query: int
    query_positions: torch.Tensor  # float32 [h * w]
    far_share: float
    added: float  # squared length of what it adds to the map
    before: float  # squared length of the map


def _look(
    attention: PixelAttention2d,
    entering: torch.Tensor,
    x: torch.Tensor,
    query: tuple[float, float] | None,
) -> _Look:
    """Looks at the attention in a map [1, C, h, w].

    Args:
        attention: The attention.
        entering: What its layer is given.
        x: What it is given itself, which may be normed before.
        query: As for attention_of.
    """
    h, w = x.shape[2:]
    weights = attention.attention_weights(x)[0].float().mean(0)
    if query is None:
        number = int(torch.special.entr(weights).sum(1).argmin())
    else:
        column, row = (
            min(int(place * side), side - 1) for place, side in zip(query, (w, h), strict=True)
        )
        number = row * w + column
    residual = attention.residual(x).float()
    added = attention(x).float() - residual
    before = entering.float() + (residual - x.float())  # the layer's own residual, with encoding
    return _Look(
        weights.mean(0).cpu(),
        number,
        weights[number].cpu(),
        far_share(weights, h, w),
        float(added.square().sum()),
        float(before.square().sum()),
    )


@cache
def _is_far(h: int, w: int) -> torch.Tensor:
    """Returns which positions are far from which, bool [h * w, h * w]."""
    rows, columns = torch.arange(h * w) // w, torch.arange(h * w) % w
    squared = (rows - rows[:, None]) ** 2 + (columns - columns[:, None]) ** 2
    return 4 * squared > max(h, w) ** 2


@contextmanager
def _inputs_of(module: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collects the inputs of a module."""
    found: list[torch.Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    with handle:
        yield found


@contextmanager
def _weights_of(attentions: Sequence[nn.MultiheadAttention]) -> Iterator[list[torch.Tensor]]:
    """Collects the weights [B, S, N] that torch's attentions compute, averaged over the heads."""
    found: list[torch.Tensor] = []

    def ask(_: nn.Module, inputs: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return inputs, options | {"need_weights": True}

    handles = [each.register_forward_pre_hook(ask, with_kwargs=True) for each in attentions]
    keep: Callable = lambda *given: found.append(given[2][1])  # noqa: E731
    handles += [each.register_forward_hook(keep) for each in attentions]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
