"""Input of the network: flow images or RGB images of one size, or glosses."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch.nn import functional

from slt_fast.data.flow_images import ENCODERS, Frames, encode_flow, flow_parts, moments
from slt_fast.errors import UserError
from slt_fast.ops.optical_flow import GPU_BACKENDS, PRESETS, choose_flow_backend, flow_parameters
from slt_fast.settings import Bounds, check_settings

_FRAMES_AT_ONCE = 16


@dataclass(frozen=True)
class InputConfig:
    """Settings of the input; saved with each checkpoint, which accepts no other input."""

    input: Literal["flow", "rgb", "gloss"] = "flow"
    """Optical flow (the paper's choice), RGB frames, or gloss: the annotated glosses instead of
    images, which reads no video."""
    image_size: Annotated[int, Bounds(ge=32), Bounds(le=2048)] = 224  # signing has 1080 rows
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

    @property
    def has_images(self) -> bool:
        """Whether the network sees images, in which it recognises glosses."""
        return self.input != "gloss"

    def parameters(self) -> dict[str, str | int]:
        """Returns the flow algorithm with its version and parameters; empty for other input."""
        if self.input != "flow":
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
    parts = [Frames(frames, torch.ones(len(frames), dtype=torch.long))]
    return torch.cat(list(image_parts(parts, config)))


def image_parts(parts: Iterable[Frames], config: InputConfig) -> Iterator[torch.Tensor]:
    """Makes clip_images of a clip that comes in parts, to the bit, and holds one of them.

    Args:
        parts: One part after the other, of any lengths from 1.
        config: Settings of the images.

    Yields:
        float32 [t, 3, image_size, image_size], as many images in all as there are moments.

    Raises:
        UserError: The frames are too small for optical flow.
    """
    size, preset, backend = (config.image_size,) * 2, config.flow_preset, config.flow_backend
    if config.input == "flow":
        for flow in flow_parts(parts, size=size, preset=preset, backend=backend):
            yield encode_flow(flow, encoder=config.flow_encoder, bound=config.flow_bound)
        return
    last: torch.Tensor | None = None
    for part in parts:
        # Few at once, because colours in float32 take four times the memory of the frames.
        few = zip(*(one.split(_FRAMES_AT_ONCE) for one in (part.distinct, part.steps)), strict=True)
        for frames, steps in few:
            images = _resized_colours(frames, size)
            frame, left = moments(steps)
            before = images[:1] if last is None else last
            yield torch.cat([before, images])[frame + (left == 0)]
            last = images[-1:]


def _resized_colours(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    images = frames.movedim(-1, 1).float().div_(255)
    return functional.interpolate(images, size, mode="bilinear", antialias=True).clamp_(0, 1)


def blank_value(config: InputConfig) -> torch.Tensor:
    """Returns the colour of zero flow, or black for RGB; float32 [3, 1, 1]."""
    if config.input == "rgb":
        return torch.zeros(3, 1, 1)
    return ENCODERS[config.flow_encoder](torch.zeros(1, 2, 1, 1))[0]


def blank_input(config: InputConfig, T: int) -> torch.Tensor:
    """Returns T black images, float32 [T, 3, image_size, image_size]; or T glosses, int64 [T]."""
    if not config.has_images:
        return torch.zeros(T, dtype=torch.long)
    return torch.zeros(T, 3, config.image_size, config.image_size)
