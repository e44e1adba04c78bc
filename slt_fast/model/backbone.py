"""ResNet18 (He et al., 2016), cut after any stage: images to feature maps."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

STAGE_CHANNELS = (64, 128, 256, 512)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Images [B, 3, H, W] in [0, 1] to maps [B, channels, h, w], normalised as for ImageNet.

    Args:
        stages: Residual stages that are kept, 1 to 4; h = H / (4, 8, 16, 32), rounded up.
        weights: "imagenet", "none", or a file with a state dict of ResNet18.

    Raises:
        ValueError: Weights that cannot be had or are no ResNet18's.
    """

    def __init__(self, *, stages: int = 4, weights: str = "none") -> None:
        super().__init__()
        network = torchvision.models.resnet18()
        if weights != "none":
            network.load_state_dict(_resnet18_state(weights, network.state_dict()))
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        layers = (network.layer1, network.layer2, network.layer3, network.layer4)
        self.stages = nn.Sequential(*layers[:stages])
        self.channels = STAGE_CHANNELS[stages - 1]
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] in [0, 1] -> [B, channels, h, w], channels_last."""
        normalised = (images - self.mean) / self.std
        return self.stages(self.stem(normalised.contiguous(memory_format=torch.channels_last)))


def _resnet18_state(weights: str, expected: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict of these weights, completed by what they may lack."""
    state = _imagenet_state() if weights == "imagenet" else _file_state(Path(weights))
    source = "torchvision's ImageNet weights" if weights == "imagenet" else weights
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    # The classifier is cut off; files of before PyTorch 0.4.1, torchvision's own, count no batches.
    state |= {
        name: value
        for name, value in expected.items()
        if name.startswith("fc.") or (name.endswith("num_batches_tracked") and name not in state)
    }
    for name in sorted(state.keys() ^ expected.keys()):
        found = "no" if name in expected else "an unknown"
        raise ValueError(f"{source}: found {found} tensor {name!r}; expected ResNet18's tensors")
    for name, value in state.items():
        if value.shape != expected[name].shape:
            shapes = f"found {name} of {[*value.shape]}; expected {[*expected[name].shape]}"
            raise ValueError(f"{source}: {shapes}, as in ResNet18")
    return state


def _imagenet_state() -> dict[str, torch.Tensor]:
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    try:
        return weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, or a file that is not the right one
        name = Path(weights.url).name
        raise ValueError(
            f"backbone_weights 'imagenet': could not download {weights.url} ({error}); expected a "
            f"network. Fetch {name} on another machine and pass its path as --backbone-weights, or "
            "train from scratch with --backbone-weights none"
        ) from error


def _file_state(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        expected = "expected imagenet, none, or a file with a state dict of ResNet18"
        raise ValueError(f"backbone_weights: found no file {path}; {expected}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path}: found {reason}; expected a state dict of ResNet18") from error
    if not isinstance(state, dict):
        found = type(state).__name__
        raise ValueError(f"{path}: found a {found}; expected a state dict of ResNet18")
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            found = f"{type(value).__name__} {name!r}"
            raise ValueError(f"{path}: found {found}; expected a state dict of ResNet18")
    return state
