"""The whole network: from images of clips to glosses and text, or from glosses to text."""

from typing import NamedTuple

import torch
from torch import nn

from slt_fast.model.config import ModelConfig
from slt_fast.model.decoder import Decoder
from slt_fast.model.encoder import Encoded, Encoder
from slt_fast.model.gloss_encoder import GlossEncoder


class Output(NamedTuple):
    """Logits of a training step."""

    gloss_logits: torch.Tensor  # [B, T, G]; rows past the length of a clip are meaningless
    gloss_lengths: torch.Tensor  # int64 [B], valid rows of each clip
    text_logits: torch.Tensor  # [B, S-1, V]; row s predicts token s + 1


class TranslationNetwork(nn.Module):
    """Spatio-temporal transformer of arXiv 2502.02587.

    Args:
        config: Settings of the network.
        num_glosses: G, entries of the gloss vocabulary; 0 is CTC's blank.
        num_words: V, entries of the text vocabulary.
        takes_glosses: Whether clips are given as their glosses instead of images.
    """

    encoder: Encoder | GlossEncoder

    def __init__(
        self,
        config: ModelConfig,
        *,
        num_glosses: int,
        num_words: int,
        takes_glosses: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = (GlossEncoder if takes_glosses else Encoder)(config, num_glosses)
        self.decoder = Decoder(config, num_words)

    @property
    def image_encoder(self) -> Encoder:
        """The encoder of a network that takes images."""
        assert isinstance(self.encoder, Encoder)
        return self.encoder

    def use_channels_last(self) -> None:
        """Keeps the weights of 2-D convolutions in the order in which they are computed fastest."""
        for parameter in self.parameters():
            if parameter.ndim == 4:  # nn.Module.to would refuse 3-D ones, which have it already
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def compute_in_chunks(self, frames_per_chunk: int) -> None:
        """Keeps activations of so many frames at a time from now on; 0 keeps all in training.

        The vectors of pixels in a memory are many, so the decoder then keeps none of them either.
        A network that takes glosses keeps all.
        """
        if isinstance(self.encoder, GlossEncoder):
            return
        self.encoder.frames_per_chunk = frames_per_chunk
        has_pixels = self.encoder.pixel_projection is not None
        self.decoder.recomputes_layers = frames_per_chunk > 0 and has_pixels

    def encode(self, images: torch.Tensor, lengths: torch.Tensor) -> Encoded:
        """Returns memory and gloss logits of images or glosses as `forward` takes them."""
        return self.encoder(images, lengths)

    def decode(self, encoded: Encoded, tokens: torch.Tensor) -> torch.Tensor:
        """Returns the logits [B, S, V] of the token after each of tokens [B, S]."""
        return self.decoder(tokens, encoded.memory, encoded.memory_padding_mask)

    def forward(self, images: torch.Tensor, lengths: torch.Tensor, text: torch.Tensor) -> Output:
        """Returns the logits for training.

        Args:
            images: [sum(T), 3, H, W] in [0, 1], one clip after the other; or numbers of glosses,
                int64 [sum(T)], if the network takes these.
            lengths: int64 [B].
            text: int64 [B, S], from <bos> to <eos>, padded; the last column is only a target.
        """
        encoded = self.encode(images, lengths)
        return Output(encoded.gloss_logits, encoded.lengths, self.decode(encoded, text[:, :-1]))
