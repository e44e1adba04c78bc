"""Where a trained model looks: within each frame, and at which frames for each word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.batching import PackedClips
from slt_fast.data.vocabulary import BOS, EOS
from slt_fast.inference.translate import evaluating


@dataclass(frozen=True)
class ClipAttention:
    """Where a model looks in a clip of T frames while it says S tokens.

    Args:
        positions: float32 [T, h, w]: how much the pixel-wise attention looks at each position of a
            frame, averaged over the positions that look and the heads; each frame sums to 1.
        frames: float32 [S, T]: how much the decoder looks at each frame for each token, averaged
            over its layers and heads; each token sums to 1.
    """

    positions: torch.Tensor
    frames: torch.Tensor


def attention_of(trained: TrainedModel, clip: PackedClips, tokens: Sequence[int]) -> ClipAttention:
    """Returns where a model in evaluation mode looks while it says a text.

    Args:
        trained: The model.
        clip: A single clip.
        tokens: The text's tokens without specials; the last row of the result is for "<eos>".

    Raises:
        UserError: The clip has more frames than the device's memory holds.
        ValueError: There is not exactly one clip.
    """
    if len(clip.clips) != 1:
        raise ValueError(f"attention_of: found {len(clip.clips)} clips; expected one")
    network, T = trained.network, len(clip.images)
    device = next(network.parameters()).device
    text = torch.tensor([[BOS, *tokens, EOS]], device=device)
    attention, layers = network.image_encoder.layer.attention, network.decoder.layers.layers
    with (
        evaluating(trained, clip),
        _inputs_of(attention) as maps,
        _weights_of([layer.multihead_attn for layer in layers]) as weights,
    ):
        encoded = network.encode(clip.images.to(device), clip.lengths.to(device))
        network.decode(encoded, text[:, :-1])
        # Frame by frame: the weights of a frame take (h * w) ** 2 numbers a head.
        frames_of = [each for x in maps for each in x.split(1)]
        looks = [attention.attention_weights(each).mean((1, 2)).float() for each in frames_of]
    h, w = maps[0].shape[2:]
    frames = torch.stack(weights).float().mean(0)[0]  # [S, T] or [S, T * h * w]
    return ClipAttention(
        torch.cat(looks).view(T, h, w).cpu(), frames.view(len(frames), T, -1).sum(2).cpu()
    )


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
