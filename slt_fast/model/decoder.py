"""Transformer decoder (Vaswani et al., 2017) over the memory of a clip."""

from functools import partial

import torch
from torch import nn

from slt_fast.model.config import ModelConfig
from slt_fast.model.recomputing import recomputed
from slt_fast.model.tokens import token_embedding, transformer_layer
from slt_fast.ops.positional_encoding import sinusoidal_encoding


class Decoder(nn.Module):
    """Computes the logits of the next tokens from text tokens and memory.

    Args:
        config: Settings of the network.
        num_words: V, entries of the text vocabulary.

    Attributes:
        recomputes_layers: Whether training computes the activations of each layer again for the
            backward pass instead of keeping them.
    """

    recomputes_layers = False

    def __init__(self, config: ModelConfig, num_words: int) -> None:
        super().__init__()
        self.embedding = token_embedding(config, num_words)
        layer, norm = transformer_layer(nn.TransformerDecoderLayer, config)
        self.layers = nn.TransformerDecoder(layer, config.decoder_layers, norm=norm)
        self.output = nn.Linear(config.width, num_words)

    def forward(
        self, tokens: torch.Tensor, memory: torch.Tensor, memory_padding_mask: torch.Tensor
    ) -> torch.Tensor:
        """Returns the logits of the token after each given token.

        Args:
            tokens: int64 [B, S]; padding is only at the end.
            memory: [B, N, D].
            memory_padding_mask: bool [B, N], True = padding.

        Returns:
            [B, S, V].
        """
        S = tokens.shape[1]
        x = self.embedding(tokens)
        x = x + sinusoidal_encoding(S, x.shape[2], x.device).to(x)
        future = torch.ones(S, S, dtype=torch.bool, device=tokens.device).triu(1)
        # Unless it is said, torch asks the mask whether it is causal, and waits for a GPU.
        masks = {"tgt_mask": future, "memory_key_padding_mask": memory_padding_mask}
        if not (self.training and self.recomputes_layers):
            return self.output(self.layers(x, memory, **masks, tgt_is_causal=False))
        for layer in self.layers.layers:
            x = recomputed(partial(layer, memory=memory, **masks), x, layer)
        return self.output(x if self.layers.norm is None else self.layers.norm(x))
