"""Clips to feature maps by R3D-18 (Tran et al., 2018), cut after any stage, one map a frame.

The layers are those of torchvision's r3d_18, but with no stride in time: its 8 would leave CTC
fewer steps than a clip may have glosses, and the decoder no vector for each frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from slt_fast.model.backbone import CutNetwork
from slt_fast.model.pretrained import Pretrained, load_weights

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum
    from torchvision.models.video.resnet import BasicBlock

KINETICS_MEAN, KINETICS_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


class ClipBackbone(CutNetwork):
    """Turns packed clips [sum(T), 3, H, W] in [0, 1] into maps [sum(T), channels, h, w].

    A map depends on the frames of its own clip only, up to 1 + 4 * stages before and after it.
    Batch norm sees all frames. Images are normalised as for Kinetics.

    Args:
        stages: Residual stages to keep, 1 to 4; h = H / (2, 4, 8, 16), rounded up.
        weights: "kinetics", "none", or a file with a state dict of torchvision's r3d_18.

    Raises:
        UserError: The weights cannot be downloaded or read, or belong to another network.
    """

    def __init__(self, *, stages: int = 4, weights: str = "none") -> None:
        # Imported here, because it takes seconds.
        from torchvision.models.video import r3d_18

        network = r3d_18(weights=None)
        load_weights(network, weights, Pretrained("kinetics", "r3d_18", _kinetics_weights))
        for module in network.modules():
            if isinstance(module, nn.Conv3d):
                module.stride = (1, *module.stride[1:])
        colours = {"mean": KINETICS_MEAN, "std": KINETICS_STD}
        super().__init__(network, network.stem, stages=stages, stride=2**stages, **colours)
        self.to(memory_format=torch.channels_last_3d)

    def forward(self, images: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """Returns maps [sum(T), channels, h, w], channels_last, of clips of these lengths.

        Raises:
            UserError: As normalised.
        """
        frames = self.normalised(images)
        x = _through(self.stem, frames.unsqueeze(0).transpose(1, 2), counts)
        for stage in self.stages.children():
            for block in stage.children():
                x = _through_block(block, x, counts)
        maps = x.transpose(1, 2)[0]
        return maps.contiguous(memory_format=torch.channels_last)  # small convolutions lose it


def _through_block(block: BasicBlock, x: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
    """Applies a residual block of torchvision to x [1, C, sum(T), H, W]."""
    residual = x if block.downsample is None else _through(block.downsample, x, counts)
    out = _through(block.conv2, _through(block.conv1, x, counts), counts)
    return block.relu(out + residual)


def _through(parts: nn.Sequential, x: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
    """Applies a 3-D convolution to each clip of x [1, C, sum(T), H, W], and the rest to all."""
    convolution, *others = parts
    # A frame of zeros between two clips: none sees the other, and batch norm sees no such frame.
    gap = torch.zeros_like(x[:, :, :1])
    spread = [part for clip in x.split([*counts], dim=2) for part in (gap, clip)][1:]
    y = convolution(torch.cat(spread, dim=2))
    first, *later = y.split([counts[0], *(1 + T for T in counts[1:])], dim=2)
    x = torch.cat([first, *(clip[:, :, 1:] for clip in later)], dim=2)
    for part in others:
        x = part(x)
    return x


def _kinetics_weights() -> WeightsEnum:
    from torchvision.models.video import R3D_18_Weights

    return R3D_18_Weights.KINETICS400_V1
