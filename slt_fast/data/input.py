"""Input of the network: flow images or RGB images of one size."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch.nn import functional

from slt_fast.data.flow_images import ENCODERS, flow_images
from slt_fast.errors import UserError
from slt_fast.ops.optical_flow import GPU_BACKENDS, PRESETS, choose_flow_backend, flow_parameters
from slt_fast.settings import Bounds, check_settings

_FRAMES_AT_ONCE = 16


@dataclass(frozen=True)
class InputConfig:
    """Settings of the input images; saved with each checkpoint, which accepts no other input."""

    input: Literal["flow", "rgb"] = "flow"
    """Optical flow (the paper's choice) or RGB frames."""
    image_size: Annotated[int, Bounds(ge=32)] = 224
    """Height and width of the images in pixels."""
    flow_preset: str = "default"
    """fast, default, best, opencv_ultrafast, opencv_fast, opencv_medium, raft_small or raft_large.
    RAFT uses torchvision's weights, or the file in the variable SLT_FAST_RAFT_WEIGHTS."""
    flow_backend: str = "auto"
    """auto, cpu, cuda, opencv, raft or reference."""
    flow_encoder: Literal["uvm", "wheel", "hsv"] = "uvm"
    """Colours of the motion: uvm, wheel or hsv."""
    flow_bound: Annotated[float, Bounds(gt=0, lt=math.inf)] = 8.0
    """Motion that saturates the encoder, in pixels of the images (not of the frames)."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.flow_preset not in PRESETS:
            expected = f"expected one of {list(PRESETS)}"
            raise UserError(f"flow_preset: found {self.flow_preset!r}; {expected}")
        if self.flow_backend != "auto":  # auto always runs, and would log its choice here
            choose_flow_backend(self.flow_backend, self.flow_preset)

    def parameters(self) -> dict[str, str | int]:
        """Returns the flow algorithm with its version and parameters; empty for RGB."""
        if self.input == "rgb":
            return {}
        return flow_parameters(self.flow_preset, self.flow_backend)


def flow_device(config: InputConfig, device: torch.device) -> torch.device | None:
    """Returns the GPU that makes the images, or None: then the processes that read make them.

    The model's GPU makes them only if it can compute the flow; the rest is work for the cores.
    """
    if config.input != "flow" or device.type != "cuda":
        return None
    backend, _ = choose_flow_backend(config.flow_backend, config.flow_preset, device)
    return device if backend in GPU_BACKENDS else None


def clip_images(frames: torch.Tensor, config: InputConfig) -> torch.Tensor:
    """Makes images, float32 [T, 3, size, size] in [0, 1], of frames, uint8 [T, H, W, 3] RGB.

    Raises:
        UserError: The frames are too small for optical flow.
    """
    size = (config.image_size, config.image_size)
    if config.input == "flow":
        return flow_images(
            frames,
            size=size,
            bound=config.flow_bound,
            encoder=config.flow_encoder,
            preset=config.flow_preset,
            backend=config.flow_backend,
        )
    # Part by part, because colours in float32 take four times the memory of the frames.
    return torch.cat([_resized_colours(part, size) for part in frames.split(_FRAMES_AT_ONCE)])


def _resized_colours(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    images = frames.movedim(-1, 1).float().div_(255)
    return functional.interpolate(images, size, mode="bilinear", antialias=True).clamp_(0, 1)


def blank_value(config: InputConfig) -> torch.Tensor:
    """Returns the colour of zero flow, or black for RGB; float32 [3, 1, 1]."""
    if config.input == "rgb":
        return torch.zeros(3, 1, 1)
    return ENCODERS[config.flow_encoder](torch.zeros(1, 2, 1, 1))[0]
