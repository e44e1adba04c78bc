"""Images to feature maps by ResNet18 (He et al., 2016), cut after any stage."""

from pathlib import Path

import torch
from torch import nn

from slt_fast.errors import UserError
from slt_fast.files import check_file
from slt_fast.model.resnet import ResNet18
from slt_fast.state_dict import StateDict, check_state_dict, download_state_dict, read_state_dict

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
        if weights != "none":
            network.load_state_dict(_resnet18_state(weights, network.state_dict()))
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
        B, _, H, W = images.shape
        if self.stem[1].training and B == 1 and max(H, W) <= self.stride:
            expected = "at least 2 frames or larger images, as batch norm needs in training"
            raise UserError(f"found a single frame of {W}x{H} pixels; expected {expected}")
        normalised = (images - self.mean) / self.std
        return self.stages(self.stem(normalised.contiguous(memory_format=torch.channels_last)))


def _resnet18_state(weights: str, network: StateDict) -> StateDict:
    """Returns the state dict of these weights, completed with what it may lack."""
    state = _imagenet_state() if weights == "imagenet" else _file_state(Path(weights))
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    # The classifier is cut off. Files from before PyTorch 0.4.1 count no batches.
    state |= {
        name: value
        for name, value in network.items()
        if name.startswith("fc.") or (name.endswith("num_batches_tracked") and name not in state)
    }
    source = "torchvision's ImageNet weights" if weights == "imagenet" else weights
    check_state_dict(state, network, source=source, expected="ResNet18's tensors")
    return state


def _imagenet_state() -> StateDict:
    # Imported here, because it takes seconds.
    from torchvision.models import ResNet18_Weights

    weights = ResNet18_Weights.IMAGENET1K_V1
    advice = (
        f"Fetch {Path(weights.url).name} on another machine and pass its path as "
        "--backbone-weights, or train from scratch with --backbone-weights none"
    )
    return download_state_dict(weights, "backbone_weights 'imagenet'", advice)


def _file_state(path: Path) -> StateDict:
    expected = "a state dict of ResNet18"
    check_file(path, f"imagenet, none, or a file with {expected} as backbone_weights")
    return read_state_dict(path, expected)
