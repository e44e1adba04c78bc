"""Settings of the network; the defaults are the paper's, or our assumption where it is silent."""

from dataclasses import dataclass
from typing import Annotated, Literal

from slt_fast.errors import UserError
from slt_fast.settings import Bounds, check_settings

_Count = Annotated[int, Bounds(ge=1)]
# Settings that have no meaning without attention. The start of gamma has none either, but recipes
# choose it, so it does not show what a user asked for.
_OF_ATTENTION = ("key_channels", "attention_heads", "attention_scale")


@dataclass(frozen=True)
class ModelConfig:
    """What the network is (arXiv 2502.02587; "assumed" marks what the paper leaves open)."""

    backbone: Literal["resnet18", "r3d_18"] = "resnet18"
    """resnet18 sees each frame alone; r3d_18 convolves over time as well, without a stride there.
    It computes whole clips at once."""
    backbone_stages: Annotated[int, Bounds(ge=1, le=4)] = 4
    """Stages of the backbone to keep; 4 gives 512 channels at 1/32 of the image's size, or at 1/16
    with r3d_18."""
    backbone_weights: str = "imagenet"
    """imagenet (torchvision's; of r3d_18 kinetics), none, or a file with a state dict of the
    backbone."""
    attention: bool = True
    """2-D pixel-wise self-attention; without it the layer has its encoding and feed-forward only,
    and gamma_start means nothing."""
    key_channels: _Count | None = None
    """Channels of query and key; None means C/8 (assumed)."""
    attention_heads: _Count = 1
    """Heads of the 2-D attention."""
    attention_scale: Annotated[float, Bounds(gt=0, le=100)] | None = None
    """Factor on q k^T; None means 1 / sqrt(key channels of a head) (assumed)."""
    gamma_start: Annotated[float, Bounds(ge=-10, le=10)] = 0.0
    """Start value of the attention's residual weight (assumed)."""
    positional_encoding: bool = True
    """2-D sinusoidal encoding of the feature map."""
    norm_placement: Literal["post", "pre"] = "post"
    """Batch norm after or before attention and feed-forward (assumed)."""
    feed_forward: Literal["standard", "depthwise"] = "standard"
    """3x3 convolutions of the feed-forward, standard or depthwise separable."""
    memory: Literal["frame", "pixel"] = "frame"
    """What the decoder attends to: one vector per frame, or one per pixel of each frame."""
    memory_map_size: tuple[int, int] = (7, 7)
    """Height and width of the map that is flattened; other maps are pooled to it."""
    memory_norm: bool = True
    """Layer norm on the frames' vectors and on the memory (assumed)."""
    temporal_convolution: int = 0
    """Kernel size of two residual convolutions over the frames' vectors; 0 for none (paper).
    With pixel memory only the gloss head sees their output, not the decoder."""
    width: _Count = 512
    """Width D of memory and decoder (assumed)."""
    encoder_layers: _Count = 3
    """Layers of the encoder of glosses, if these are the input; the rest is as in the decoder."""
    decoder_layers: _Count = 3
    """Layers of the decoder (assumed)."""
    decoder_heads: _Count = 4
    """Heads of the decoder."""
    decoder_feed_forward: _Count = 2048
    """Width of the decoder's feed-forward (assumed)."""
    decoder_norm_placement: Literal["pre", "post"] = "pre"
    """Layer norm before (with one more at the end) or after the decoder's sublayers (assumed)."""
    embedding_std: Annotated[float, Bounds(gt=0, lt=10)] = 0.5
    """Standard deviation of the word vectors' start values; they are not scaled (assumed)."""
    dropout: Annotated[float, Bounds(ge=0, lt=1)] = 0.1
    """Dropout on memory and in the decoder (assumed)."""
    backend: Literal["auto", "reference", "triton"] = "auto"
    """Backend of the fused operators."""

    def __post_init__(self) -> None:
        if isinstance(self.memory_map_size, list):
            object.__setattr__(self, "memory_map_size", tuple(self.memory_map_size))
        if isinstance(self.memory_map_size, tuple) and len(self.memory_map_size) != 2:
            raise UserError(f"memory_map_size: found {self.memory_map_size}; expected two sizes")
        check_settings(self)
        for name in () if self.attention else _OF_ATTENTION:
            if (value := getattr(self, name)) != (default := getattr(ModelConfig, name)):
                expected = f"expected {default}, as there is no attention"
                raise UserError(f"{name}: found {value}; {expected}")
        if self.width % (2 * self.decoder_heads):
            expected = f"a multiple of 2 * {self.decoder_heads} decoder heads"
            raise UserError(f"width: found {self.width}; expected {expected}")
        kernel = self.temporal_convolution
        if kernel < 0 or (kernel and kernel % 2 == 0):
            raise UserError(f"temporal_convolution: found {kernel}; expected 0 or an odd size")
        if min(self.memory_map_size) < 1:
            raise UserError(f"memory_map_size: found {self.memory_map_size}; expected two sizes")
