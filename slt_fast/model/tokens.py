"""What encoder and decoder of tokens share: embeddings and Transformer layers by the settings."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from slt_fast.model.config import ModelConfig

Layer = TypeVar("Layer", nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


def token_embedding(config: ModelConfig, number: int) -> nn.Embedding:
    """Returns vectors of so many tokens."""
    embedding = nn.Embedding(number, config.width)
    # About as large as the sinusoidal positions, which torch's start value would drown.
    nn.init.normal_(embedding.weight, std=config.embedding_std)
    return embedding


def transformer_layer(kind: type[Layer], config: ModelConfig) -> tuple[Layer, nn.LayerNorm | None]:
    """Returns a layer, and the norm that follows the last one; None if each layer ends with one."""
    pre = config.decoder_norm_placement == "pre"
    layer = kind(
        config.width,
        config.decoder_heads,
        config.decoder_feed_forward,
        config.dropout,
        batch_first=True,
        norm_first=pre,
    )
    return layer, nn.LayerNorm(config.width) if pre else None
