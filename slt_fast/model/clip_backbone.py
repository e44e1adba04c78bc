"""Clips to feature maps by R3D-18 (Tran et al., 2018), cut after any stage, one map a frame.

The network is torchvision's r3d_18, with its names and start values, but no stride in time: its 8
would leave CTC fewer steps than a clip may have glosses, and the decoder no vector for each frame.
Weights do not depend on strides, so torchvision's load.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from slt_fast.model.backbone import STAGE_CHANNELS, check_variance
from slt_fast.model.pretrained import Pretrained, load_weights

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

KINETICS_MEAN, KINETICS_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


class ClipBackbone(nn.Module):
    """Turns packed clips [sum(T), 3, H, W] in [0, 1] into maps [sum(T), channels, h, w].

    A map depends on the frames of its own clip only, up to 1 + 4 * stages before and after it.
    Batch norm sees all frames. Images are normalised as for Kinetics.

    Args:
        stages: Residual stages to keep, 1 to 4; h = H / (2, 4, 8, 16), rounded up.
        weights: "kinetics", "none", or a file with a state dict of torchvision's r3d_18.

    Raises:
        UserError: The weights cannot be downloaded or read, or belong to another network.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, *, stages: int = 4, weights: str = "none") -> None:
        super().__init__()
        network = R3D18()
        load_weights(network, weights, Pretrained("kinetics", "r3d_18", _kinetics_weights))
        self.stem = network.stem
        layers = (network.layer1, network.layer2, network.layer3, network.layer4)
        self.stages = nn.Sequential(*layers[:stages])
        self.channels, self.stride = STAGE_CHANNELS[stages - 1], 2**stages
        self.register_buffer("mean", torch.tensor(KINETICS_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(KINETICS_STD).view(3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last_3d)

    def forward(self, images: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """Returns maps [sum(T), channels, h, w], channels_last, of clips of these lengths.

        Raises:
            UserError: A single image has a map of 1x1 in training, of which batch norm has no
                variance.
        """
        if self.stem[1].training:
            check_variance(images, self.stride)
        normalised = (images - self.mean) / self.std
        x = _through(self.stem, normalised.contiguous(memory_format=torch.channels_last), counts)
        for stage in self.stages.children():
            for block in stage.children():
                x = block(x, counts)
        return x.contiguous(memory_format=torch.channels_last)  # small convolutions lose it


class R3D18(nn.Module):
    """The layers of torchvision's r3d_18, for others to run: stem, layer1 to 4, fc."""

    def __init__(self) -> None:
        super().__init__()
        first = nn.Conv3d(3, 64, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(64), nn.ReLU(inplace=True))
        self.layer1 = nn.Sequential(_Block(64, 64, 1), _Block(64, 64, 1))
        pairs = pairwise(STAGE_CHANNELS)
        self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(_Block(channels, width, 2), _Block(width, width, 1))
            for channels, width in pairs
        )
        self.fc = nn.Linear(512, 400)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.fc.weight, 0, 0.01)
        nn.init.zeros_(self.fc.bias)


class _Block(nn.Module):
    """Two 3x3x3 convolutions with a residual connection, projected where the shape changes."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        downsample = None
        # First, because the order of construction is the order of random numbers.
        if stride != 1 or channels != width:
            projection = nn.Conv3d(channels, width, 1, stride=(1, stride, stride), bias=False)
            downsample = nn.Sequential(projection, nn.BatchNorm2d(width))
        first = nn.Conv3d(channels, width, 3, stride=(1, stride, stride), padding=1, bias=False)
        self.conv1 = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        second = nn.Conv3d(width, width, 3, padding=1, bias=False)
        self.conv2 = nn.Sequential(second, nn.BatchNorm2d(width))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """[sum(T), channels, H, W] -> [sum(T), width, H / stride, W / stride], rounded up."""
        residual = x if self.downsample is None else _through(self.downsample, x, counts)
        out = _through(self.conv2, _through(self.conv1, x, counts), counts)
        out += residual
        return self.relu(out)


def _through(parts: nn.Sequential, x: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
    """Applies a 3-D convolution to each clip, and what follows it to all frames."""
    convolution, *others = parts
    # A frame of zeros between two clips: none sees the other, and batch norm sees no such frame.
    gap = torch.zeros_like(x[:1])
    spread = torch.cat([part for clip in x.split([*counts]) for part in (gap, clip)][1:])
    y = convolution(spread.unsqueeze(0).transpose(1, 2)).transpose(1, 2)[0]
    first, *later = y.split([counts[0], *(1 + T for T in counts[1:])])
    x = torch.cat([first, *(clip[1:] for clip in later)])
    for part in others:
        x = part(x)
    return x


def _kinetics_weights() -> WeightsEnum:
    from torchvision.models.video import R3D_18_Weights

    return R3D_18_Weights.KINETICS400_V1
