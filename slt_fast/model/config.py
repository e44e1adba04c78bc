"""Settings of the network; the defaults are the paper's, or our assumption where it is silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ModelConfig:
    """What the network is (arXiv 2502.02587; "assumed" marks what the paper leaves open)."""

    backbone_stages: int = 4
    """Stages of ResNet18 that are kept; 4 gives 512 channels at 1/32 of the image's size."""
    backbone_weights: str = "imagenet"
    """imagenet (torchvision's), none, or a file with a state dict of ResNet18."""
    key_channels: int | None = None
    """Channels of query and key; None means C/8 (assumed)."""
    attention_heads: int = 1
    """Heads of the 2-D attention."""
    attention_scale: float | None = None
    """Factor on q k^T; None means 1 / sqrt(key channels of a head) (assumed)."""
    gamma_start: float = 0.0
    """Start value of the attention's residual weight (assumed)."""
    positional_encoding: bool = True
    """2-D sinusoidal encoding of the feature map."""
    norm_placement: Literal["post", "pre"] = "post"
    """Batch norm after or before attention and feed-forward (assumed)."""
    feed_forward: Literal["standard", "depthwise"] = "standard"
    """3x3 convolutions of the feed-forward, whole or depthwise separable."""
    memory: Literal["frame", "pixel"] = "frame"
    """What the decoder attends to: one vector a frame, or one a pixel of each frame."""
    memory_map_size: tuple[int, int] = (7, 7)
    """Height and width of the map that is flattened; other maps are pooled to it."""
    memory_norm: bool = True
    """Layer norm on the frames' vectors and on the memory (assumed)."""
    temporal_convolution: int = 0
    """Kernel size of two residual convolutions over the frames' vectors; 0 for none (paper).
    With pixel memory only the gloss head sees what they give, not the decoder."""
    width: int = 512
    """Width D of memory and decoder (assumed)."""
    decoder_layers: int = 3
    """Layers of the decoder (assumed)."""
    decoder_heads: int = 4
    """Heads of the decoder."""
    decoder_feed_forward: int = 2048
    """Width of the decoder's feed-forward (assumed)."""
    decoder_norm_placement: Literal["pre", "post"] = "pre"
    """Layer norm before (with one more at the end) or after the decoder's sublayers (assumed)."""
    embedding_std: float = 0.5
    """Standard deviation of the word vectors' start values; they are not scaled (assumed)."""
    dropout: float = 0.1
    """Dropout on memory and in the decoder (assumed)."""
    backend: Literal["auto", "reference", "triton"] = "auto"
    """Backend of the fused operators."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "memory_map_size", tuple(self.memory_map_size))
        for name in (
            "key_channels",
            "attention_heads",
            "width",
            "decoder_layers",
            "decoder_heads",
            "decoder_feed_forward",
        ):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}: found {getattr(self, name)}; expected at least 1")
        if not 1 <= self.backbone_stages <= 4:
            raise ValueError(f"backbone_stages: found {self.backbone_stages}; expected 1 to 4")
        if self.width % (2 * self.decoder_heads):
            expected = f"a multiple of 2 * {self.decoder_heads} decoder heads"
            raise ValueError(f"width: found {self.width}; expected {expected}")
        if not 0 < self.embedding_std < 10:
            raise ValueError(f"embedding_std: found {self.embedding_std}; expected 0 to 10")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: found {self.dropout}; expected 0 <= dropout < 1")
        found = self.temporal_convolution
        if found < 0 or (found and found % 2 == 0):
            raise ValueError(f"temporal_convolution: found {found}; expected 0 or an odd size")
        if len(self.memory_map_size) != 2 or min(self.memory_map_size) < 1:
            raise ValueError(f"memory_map_size: found {self.memory_map_size}; expected two sizes")
        for name, allowed in (
            ("norm_placement", ("post", "pre")),
            ("decoder_norm_placement", ("pre", "post")),
            ("feed_forward", ("standard", "depthwise")),
            ("memory", ("frame", "pixel")),
            ("backend", ("auto", "reference", "triton")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: found {getattr(self, name)!r}; expected {allowed}")
