"""Turns glosses into the memory of each clip: embedding, positions, Transformer encoder.

With it the network translates text (Vaswani et al., 2017): glosses to sentences, as "Gloss2Text" of
Camgoz et al. (CVPR 2018 and 2020) does. There are no glosses left to recognise.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from slt_fast.device import to_device
from slt_fast.model.config import ModelConfig
from slt_fast.model.encoder import Encoded
from slt_fast.model.padded import counts_of_packed, padding_mask, time_positions
from slt_fast.model.tokens import token_embedding, transformer_layer


class GlossEncoder(nn.Module):
    """Computes memory from packed glosses.

    Heads, feed-forward, dropout and norms are those of the decoder.

    Args:
        config: Settings of the network.
        num_glosses: G, entries of the gloss vocabulary.
    """

    def __init__(self, config: ModelConfig, num_glosses: int) -> None:
        super().__init__()
        self.embedding = token_embedding(config, num_glosses)
        layer, norm = transformer_layer(nn.TransformerEncoderLayer, config)
        self.layers = nn.TransformerEncoder(
            layer, config.encoder_layers, norm=norm, enable_nested_tensor=False
        )

    def forward(self, glosses: torch.Tensor, lengths: torch.Tensor) -> Encoded:
        """Encodes clips.

        Args:
            glosses: int64 [sum(T)], numbers of the glosses, one clip after the other.
            lengths: int64 [B], glosses of each clip, on any device.

        Returns:
            Memory [B, T, D], without any gloss to recognise: its logits are [B, T, 0].

        Raises:
            ValueError: The lengths do not fit the glosses.
        """
        counts = counts_of_packed(lengths, glosses, "glosses")
        x = self.embedding(pad_sequence(glosses.split(counts), batch_first=True))
        padding = padding_mask(to_device(lengths, x.device), x.shape[1])
        memory = self.layers(x + time_positions(x), src_key_padding_mask=padding)
        return Encoded(memory, padding, memory[..., :0], lengths)
