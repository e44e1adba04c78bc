"""The decoder one token at a time: keys and values of what came before are computed once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from slt_fast.model.decoder import Decoder
from slt_fast.ops.positional_encoding import sinusoidal_encoding


class Seen(NamedTuple):
    """Keys and values of a layer, [*, heads, length, D / heads]."""

    keys: torch.Tensor
    values: torch.Tensor


class CachedDecoder:
    """Continues sequences by a token at a time, as Decoder does with whole sequences.

    Sequences of the same clip share its memory, which is never copied.

    Args:
        decoder: The decoder, in evaluation mode.
        memory: [B, N, D].
        memory_padding_mask: bool [B, N], True = padding.
        beam_size: K, sequences of each clip.

    Attributes:
        past: Keys and values of the tokens so far, of each layer; none before the first call.
    """

    def __init__(
        self,
        decoder: Decoder,
        memory: torch.Tensor,
        memory_padding_mask: torch.Tensor,
        beam_size: int,
    ) -> None:
        self._decoder, self._beam_size = decoder, beam_size
        self._mask = ~memory_padding_mask[:, None, None]
        layers = decoder.layers.layers
        self._memory = [_memory_of(layer.multihead_attn, memory) for layer in layers]
        self.past: list[Seen] = []

    def __call__(self, tokens: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Returns the logits [B * K, V] of the token after each sequence.

        Args:
            tokens: int64 [B * K, S], clip by clip; all but the last column were given before.
            rows: int64 [B * K], which sequence of the call before each continues.
        """
        decoder, S = self._decoder, tokens.shape[1]
        x = decoder.embedding(tokens[:, -1:])
        x = x + sinusoidal_encoding(S, x.shape[2], x.device)[-1].to(x)
        past, self.past = self.past, []
        for number, layer in enumerate(decoder.layers.layers):
            before = past[number] if past else None
            x = self._layer(layer, x, before, rows, self._memory[number])
        if decoder.layers.norm is not None:
            x = decoder.layers.norm(x)
        return decoder.output(x[:, 0])

    def _layer(
        self,
        layer: nn.TransformerDecoderLayer,
        x: torch.Tensor,
        before: Seen | None,
        rows: torch.Tensor,
        memory: Seen,
    ) -> torch.Tensor:
        """Computes a layer for the last token of each sequence, [B * K, 1, D]."""
        if layer.norm_first:
            x = x + self._self_attention(layer.self_attn, layer.norm1(x), before, rows)
            x = x + self._attention(layer.multihead_attn, layer.norm2(x), memory)
            return x + _feed_forward(layer, layer.norm3(x))
        x = layer.norm1(x + self._self_attention(layer.self_attn, x, before, rows))
        x = layer.norm2(x + self._attention(layer.multihead_attn, x, memory))
        return layer.norm3(x + _feed_forward(layer, x))

    def _self_attention(
        self,
        attention: nn.MultiheadAttention,
        x: torch.Tensor,
        before: Seen | None,
        rows: torch.Tensor,
    ) -> torch.Tensor:
        """Attends to the tokens so far, and keeps the last one's key and value."""
        joined = functional.linear(x, attention.in_proj_weight, attention.in_proj_bias)
        query, key, value = (_heads(part, attention.num_heads) for part in joined.chunk(3, -1))
        if before is not None:
            key = torch.cat([before.keys[rows], key], dim=2)
            value = torch.cat([before.values[rows], value], dim=2)
        self.past.append(Seen(key, value))
        found = functional.scaled_dot_product_attention(query, key, value)
        return attention.out_proj(found.transpose(1, 2).flatten(2))

    def _attention(
        self, attention: nn.MultiheadAttention, x: torch.Tensor, memory: Seen
    ) -> torch.Tensor:
        """Attends to the memory: the sequences of a clip are queries beside each other."""
        D = x.shape[-1]
        weight, bias = attention.in_proj_weight[:D], attention.in_proj_bias[:D]
        query = functional.linear(x.view(-1, self._beam_size, D), weight, bias)
        found = functional.scaled_dot_product_attention(
            _heads(query, attention.num_heads), *memory, attn_mask=self._mask
        )
        return attention.out_proj(found.transpose(1, 2).reshape(x.shape[0], 1, D))


def _memory_of(attention: nn.MultiheadAttention, memory: torch.Tensor) -> Seen:
    """Returns keys and values of the memory [B, N, D]."""
    D = memory.shape[-1]
    joined = functional.linear(memory, attention.in_proj_weight[D:], attention.in_proj_bias[D:])
    return Seen(*(_heads(part, attention.num_heads) for part in joined.chunk(2, -1)))


def _heads(x: torch.Tensor, number: int) -> torch.Tensor:
    """Splits [R, S, D] into [R, heads, S, D / heads]."""
    return x.unflatten(-1, (number, -1)).transpose(1, 2)


def _feed_forward(layer: nn.TransformerDecoderLayer, x: torch.Tensor) -> torch.Tensor:
    return layer.linear2(layer.activation(layer.linear1(x)))
