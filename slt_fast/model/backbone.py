"""Images to feature maps by ResNet18 (He et al., 2016), cut after any stage."""

from __future__ import annotations

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


class Backbone(nn.Module):
    """Turns images [B, 3, H, W] in [0, 1] into maps [B, channels, h, w].

    Images are normalised as for ImageNet.

    Args:
        stages: Residual stages to keep, 1 to 4; h = H / (4, 8, 16, 32), rounded up.
        weights: "imagenet", "none", or a file with a state dict of ResNet18.

    Raises:
        UserError: The weights cannot be downloaded or read, or belong to another network.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, *, stages: int = 4, weights: str = "none") -> None:
        super().__init__()
        network = ResNet18()
        load_weights(network, weights, Pretrained("imagenet", "ResNet18", _imagenet_weights))
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        layers = (network.layer1, network.layer2, network.layer3, network.layer4)
        self.stages = nn.Sequential(*layers[:stages])
        self.channels, self.stride = STAGE_CHANNELS[stages - 1], 2 ** (stages + 1)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns maps [B, channels, h, w], channels_last, of images [B, 3, H, W] in [0, 1].

        Raises:
            UserError: A single image has a map of 1x1 in training, of which batch norm has no
                variance.
        """
        if self.stem[1].training:
            check_variance(images, self.stride)
        normalised = (images - self.mean) / self.std
        return self.stages(self.stem(normalised.contiguous(memory_format=torch.channels_last)))


def check_variance(images: torch.Tensor, stride: int) -> None:
    """Raises UserError if images [B, 3, H, W] give a single value of each channel."""
    B, _, H, W = images.shape
    if B == 1 and max(H, W) <= stride:
        expected = "at least 2 frames or larger images, as batch norm needs in training"
        raise UserError(f"found a single frame of {W}x{H} pixels; expected {expected}")


def _imagenet_weights() -> WeightsEnum:
    from torchvision.models import ResNet18_Weights

    return ResNet18_Weights.IMAGENET1K_V1
