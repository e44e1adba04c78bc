"""Images to feature maps by ResNet18 (He et al., 2016), cut after any stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from slt_fast.errors import UserError
from slt_fast.model.pretrained import Pretrained, load_weights
from slt_fast.model.resnet import ResNet18

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

# Of ResNet18, and of R3D-18.
STAGE_CHANNELS = (64, 128, 256, 512)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class CutNetwork(nn.Module):
    """The stem and the first stages of a network, and what they do to images first.

    Args:
        network: The network, with layer1 to layer4.
        stem: What comes before layer1: a convolution, its batch norm, and the rest.
        stages: Residual stages to keep, 1 to 4.
        stride: Pixels of an image for each of its map.
        mean: Of each colour, subtracted first.
        std: Of each colour, by which the rest is divided.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        network: nn.Module,
        stem: nn.Sequential,
        *,
        stages: int,
        stride: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.stem = stem
        layers = [getattr(network, f"layer{number}") for number in range(1, stages + 1)]
        self.stages = nn.Sequential(*layers)
        self.channels, self.stride = STAGE_CHANNELS[stages - 1], stride
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Returns normalised images [B, 3, H, W], channels_last.

        Raises:
            UserError: A single image has a map of 1x1 in training, of which batch norm has no
                variance.
        """
        B, _, H, W = images.shape
        if self.stem[1].training and B == 1 and max(H, W) <= self.stride:
            expected = "at least 2 frames or larger images, as batch norm needs in training"
            raise UserError(f"found a single frame of {W}x{H} pixels; expected {expected}")
        normalised = (images - self.mean) / self.std
        return normalised.contiguous(memory_format=torch.channels_last)


class Backbone(CutNetwork):
    """Turns images [B, 3, H, W] in [0, 1] into maps [B, channels, h, w].

    Images are normalised as for ImageNet.

    Args:
        stages: Residual stages to keep, 1 to 4; h = H / (4, 8, 16, 32), rounded up.
        weights: "imagenet", "none", or a file with a state dict of ResNet18.

    Raises:
        UserError: The weights cannot be downloaded or read, or belong to another network.
    """

    def __init__(self, *, stages: int = 4, weights: str = "none") -> None:
        network = ResNet18()
        load_weights(network, weights, Pretrained("imagenet", "ResNet18", _imagenet_weights))
        stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        colours = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
        super().__init__(network, stem, stages=stages, stride=2 ** (stages + 1), **colours)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns maps [B, channels, h, w], channels_last, of images [B, 3, H, W] in [0, 1].

        Raises:
            UserError: As normalised.
        """
        return self.stages(self.stem(self.normalised(images)))


def _imagenet_weights() -> WeightsEnum:
    from torchvision.models import ResNet18_Weights

    return ResNet18_Weights.IMAGENET1K_V1
