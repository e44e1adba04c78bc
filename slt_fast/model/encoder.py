"""Turns packed images into the memory of each clip: backbone, pixel-wise attention, time."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from slt_fast.device import to_device
from slt_fast.layers import PixelAttention2d, PixelAttentionLayer, PositionalEncoding2d
from slt_fast.model.backbone import Backbone
from slt_fast.model.clip_backbone import ClipBackbone
from slt_fast.model.config import ModelConfig
from slt_fast.model.padded import counts_of_packed, padding_mask, time_positions
from slt_fast.model.recomputing import recomputed

# Pixels of images that the backbone works on at once in inference: about 200 bytes each.
_PIXELS_AT_ONCE = {"cpu": 2**20, "cuda": 2**24}


class Encoded(NamedTuple):
    """What decoder and CTC head see of B clips; N = T, or T * h * w for pixel memory.

    If the input are glosses, T counts them, and G is 0 because there is none to recognise.
    """

    memory: torch.Tensor  # [B, N, D]; the decoder attends to it
    memory_padding_mask: torch.Tensor  # bool [B, N], True = padding
    gloss_logits: torch.Tensor  # [B, T, G]; rows past the length of a clip are meaningless
    lengths: torch.Tensor  # int64 [B], T of each clip, on the device where they were given


class Encoder(nn.Module):
    """Computes memory and gloss logits from packed images.

    Args:
        config: Settings of the network.
        num_glosses: G, entries of the gloss vocabulary, including the blank.

    Attributes:
        frames_per_chunk: Training computes the frames in chunks of at most so many, which batch
            norm sees one by one; 0 computes all at once, as a backbone of whole clips needs.
        recomputes_chunks: Whether the activations of all chunks but the last are computed again for
            the backward pass instead of kept. It begins with the last.
        gradient_dropout: Share of the frames, chosen at random for each step of the training, in
            which the gradient does not reach the backbone. Batch norm sees them by themselves.
    """

    frames_per_chunk = 0
    recomputes_chunks = True
    gradient_dropout = 0.0

    def __init__(self, config: ModelConfig, num_glosses: int) -> None:
        super().__init__()
        kind = ClipBackbone if config.backbone == "r3d_18" else Backbone
        self.backbone = kind(stages=config.backbone_stages, weights=config.backbone_weights)
        C, D = self.backbone.channels, config.width
        self.layer = PixelAttentionLayer(
            _attention(config, C),
            C,
            norm_placement=config.norm_placement,
            depthwise=config.feed_forward == "depthwise",
        )
        self.map_size = config.memory_map_size
        self.dropout = nn.Dropout(config.dropout)
        # Unbounded vectors drown the time positions in the memory.
        norm = (lambda: nn.LayerNorm(D)) if config.memory_norm else nn.Identity
        size = C * self.map_size[0] * self.map_size[1]
        self.frame_projection = nn.Sequential(nn.Linear(size, D), norm())
        self.pixel_projection = (
            nn.Sequential(nn.Linear(C, D), norm()) if config.memory == "pixel" else None
        )
        kernel = config.temporal_convolution
        self.temporal = nn.ModuleList(
            [_TemporalConvolution(D, kernel, config.dropout) for _ in range(2 if kernel else 0)]
        )
        self.memory_norm = norm() if kernel else nn.Identity()
        self.gloss_head = nn.Linear(D, num_glosses)

    def compile_convolutions(self) -> None:
        """Compiles backbone and feed-forward in place, when they are first called."""
        self.backbone.compile()
        self.layer.feed_forward.compile()

    def forward(self, images: torch.Tensor, lengths: torch.Tensor) -> Encoded:
        """Encodes clips.

        Args:
            images: float32 or float16 [sum(T), 3, H, W] in [0, 1], one clip after the other.
            lengths: int64 [B], frames of each clip, on any device; their sum is that of the images.

        Raises:
            ValueError: The lengths do not fit the images.
        """
        counts = counts_of_packed(lengths, images, "images")
        return self.encode_clips(*self.encode_frames(images, counts), lengths)

    def encode_frames(
        self, images: torch.Tensor, counts: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodes each image: alone, or by the frames around it if the backbone sees clips.

        Args:
            images: As for forward.
            counts: Frames of each clip.

        Returns:
            Vectors [sum(T), D], and vectors of pixels [sum(T), h * w, D]; none without pixel
            memory.

        Raises:
            ValueError: The backbone sees clips, but frames shall be computed in chunks.
        """
        if isinstance(self.backbone, ClipBackbone):
            return self._encode_whole_clips(self.backbone, images, counts)
        at_once, encode = self.frames_per_chunk or len(images), self._encode_chunk
        if not (self.training or torch.is_grad_enabled()):  # no frame depends on another
            most = max(1, _PIXELS_AT_ONCE[images.device.type] // images[0, 0].numel())
            at_once = min(most, self.frames_per_chunk or most)
        elif self.recomputes_chunks:
            encode = partial(recomputed, self._encode_chunk, module=self)
        *chunks, last = images.tensor_split(math.ceil(len(images) / at_once))
        # The backward pass begins with the last chunk: its activations are needed at once.
        vectors, pixels = zip(*map(encode, chunks), self._encode_chunk(last), strict=True)
        return torch.cat(vectors), torch.cat(pixels)

    def encode_clip(self, images: torch.Tensor) -> Encoded:
        """Encodes a single clip [T, 3, H, W] in evaluation, all frames at once.

        It asks nothing of the numbers in a tensor, so a graph of it holds for any T.
        """
        T = images.shape[0]
        counts = ([T],) if isinstance(self.backbone, ClipBackbone) else ()
        vectors, pixels = self._encode_maps(self.backbone(images.float(), *counts))
        padding = torch.zeros(1, T, dtype=torch.bool, device=images.device)
        lengths = torch.full((1,), T, device=images.device)
        return self._encode_padded(vectors.unsqueeze(0), pixels.unsqueeze(0), padding, lengths)

    def encode_clips(
        self, vectors: torch.Tensor, pixels: torch.Tensor, lengths: torch.Tensor
    ) -> Encoded:
        """Encodes clips from what `encode_frames` returned for their images; lengths int64 [B]."""
        counts = lengths.tolist()
        frames = _pad(vectors, counts)
        padding = padding_mask(to_device(lengths, vectors.device), frames.shape[1])
        if self.pixel_projection is not None:
            pixels = _pad(pixels, counts)
        return self._encode_padded(frames, pixels, padding, lengths)

    def _encode_padded(
        self,
        frames: torch.Tensor,
        pixels: torch.Tensor,
        padding: torch.Tensor,
        lengths: torch.Tensor,
    ) -> Encoded:
        """Encodes padded clips: frames [B, T, D], pixels [B, T, N, D] and padding [B, T]."""
        for convolution in self.temporal:
            frames = convolution(frames, padding)
        frames = self.memory_norm(frames)
        logits = self.gloss_head(frames)
        if self.pixel_projection is None:
            return Encoded(frames + time_positions(frames), padding, logits, lengths)
        N = pixels.shape[2]
        memory = (pixels + time_positions(frames).unsqueeze(1)).flatten(1, 2)
        return Encoded(memory, padding.repeat_interleave(N, dim=1), logits, lengths)

    def _encode_whole_clips(
        self, backbone: ClipBackbone, images: torch.Tensor, counts: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        for name in ("frames_per_chunk", "gradient_dropout"):
            if value := getattr(self, name):
                found = f"found {name} {value} with backbone r3d_18"
                raise ValueError(f"encoder: {found}; expected 0, as it sees whole clips")
        if self.training or torch.is_grad_enabled():
            return self._encode_maps(backbone(images.float(), counts))
        # One after the other, as they do not depend on each other.
        clips = [backbone(clip.float(), [len(clip)]) for clip in images.split([*counts])]
        vectors, pixels = zip(*map(self._encode_maps, clips), strict=True)
        return torch.cat(vectors), torch.cat(pixels)

    def _encode_chunk(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._encode_maps(self._maps(images.float()))

    def _maps(self, images: torch.Tensor) -> torch.Tensor:
        """Computes the maps of images, in training some of them without a gradient.

        Stochastic backpropagation (Cheng et al., CVPR 2022): https://arxiv.org/abs/2203.16755
        """
        number = min(round(len(images) * self.gradient_dropout), len(images) - 2)
        if not self.training or number < 2:  # batch norm needs two in each part
            return self.backbone(images)
        order = torch.randperm(len(images))
        places = to_device(order.argsort(), images.device)
        without, others = to_device(order, images.device).tensor_split([number])
        # Autocast keeps the weights as they are first needed, which must be with a gradient.
        learned = self.backbone(images[others])
        with torch.no_grad():
            fixed = self.backbone(images[without])
        return torch.cat([fixed, learned])[places].contiguous(memory_format=torch.channels_last)

    def _encode_maps(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.layer(maps)
        vectors = self._frame_vectors(maps)
        if self.pixel_projection is None:
            return vectors, vectors[:0]
        return vectors, self.pixel_projection(self.dropout(maps.flatten(2).mT))

    def _frame_vectors(self, maps: torch.Tensor) -> torch.Tensor:
        """Projects maps [sum(T), C, h, w] to vectors [sum(T), D]."""
        if maps.shape[2:] != self.map_size:
            maps = functional.adaptive_avg_pool2d(maps, self.map_size)
        return self.frame_projection(self.dropout(maps.flatten(1)))


def _attention(config: ModelConfig, channels: int) -> nn.Module:
    """Makes the attention with its residual, or without attention the residual alone."""
    if config.attention:
        return PixelAttention2d(
            channels,
            key_channels=config.key_channels,
            num_heads=config.attention_heads,
            scale=config.attention_scale,
            gamma_start=config.gamma_start,
            positional_encoding=config.positional_encoding,
            backend=config.backend,
        )
    if config.positional_encoding:
        return PositionalEncoding2d(backend=config.backend)
    return nn.Identity()


class _TemporalConvolution(nn.Module):
    """Computes x + dropout(ReLU(LayerNorm(conv(x)))) over time; padding counts as zero."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
        x = x.masked_fill(padding.unsqueeze(-1), 0)
        return x + self.dropout(self.norm(self.convolution(x.mT).mT).relu())


def _pad(packed: torch.Tensor, counts: list[int]) -> torch.Tensor:
    """Pads [sum(T), ...] to [B, T, ...] with zeros."""
    return pad_sequence(packed.split(counts), batch_first=True)
