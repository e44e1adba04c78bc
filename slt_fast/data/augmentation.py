"""Random changes of a clip that keep its meaning: distance, place, vigour and missing frames.

Other frame rates change how a clip is read: see cameras.py.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch.nn import functional

from slt_fast.data.input import InputConfig, blank_value
from slt_fast.settings import Bounds, check_settings

_Share = Annotated[float, Bounds(ge=0, lt=1)]


@dataclass(frozen=True)
class AugmentationConfig:
    """Extent of the random changes; with all at zero, clips stay as they are."""

    zoom: _Share = 0.0
    """Largest relative change of size, as if the camera were nearer or farther."""
    shift: _Share = 0.0
    """Largest shift in either direction, as a share of the image."""
    vigour: _Share = 0.0
    """Largest relative change of the motion itself (flow input with the uvm encoder only)."""
    frame_dropout: _Share = 0.0
    """Share of the frames that are left out."""
    other_rates: _Share = 0.0
    """Share of the clips of an epoch that are read as if a camera of another frame rate, from 0.46
    to 2 times the run's, had filmed them; with preload it takes four times the memory."""
    gloss_dropout: _Share = 0.0
    """Share of the glosses that are replaced by "<unk>", if glosses are the input: so glosses that
    training does not have mean something."""

    def __post_init__(self) -> None:
        check_settings(self)


def augment(
    images: torch.Tensor,
    config: AugmentationConfig,
    input_config: InputConfig,
    *,
    minimum_frames: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """Applies one random change to all frames of a clip.

    Args:
        images: float [T, 3, H, W] in [0, 1].
        config: Ranges of the changes.
        input_config: Settings of the images.
        minimum_frames: Frames to keep at least, for CTC.
        generator: Source of all randomness.

    Returns:
        float [T', 3, H, W] in [0, 1], minimum_frames <= T' <= T.
    """
    kept = torch.rand(len(images), generator=generator) >= config.frame_dropout
    if kept.sum() >= max(minimum_frames, 1):
        images = images[kept]
    # Always drawn, so that one range does not change what the others draw.
    zoom, vigour = _factor(config.zoom, generator), _factor(config.vigour, generator)
    shift = (2 * torch.rand(2, generator=generator) - 1) * 2 * config.shift
    blank = blank_value(input_config).to(images)
    centred = images - blank
    if config.zoom or config.shift:
        centred = _warp(centred, zoom, shift)
    if input_config.input == "flow" and input_config.flow_encoder == "uvm":
        centred = centred * (zoom * vigour)
    return (centred + blank).clamp_(0, 1)


def _factor(limit: float, generator: torch.Generator) -> float:
    return float(1 + limit) ** float(2 * torch.rand((), generator=generator) - 1)


def _warp(images: torch.Tensor, zoom: float, shift: torch.Tensor) -> torch.Tensor:
    """Zooms and shifts about the centre; pixels from outside the image are 0."""
    matrix = torch.tensor([[1 / zoom, 0, float(shift[0])], [0, 1 / zoom, float(shift[1])]])
    grid = functional.affine_grid(matrix[None], [1, *images.shape[1:]], align_corners=False)
    grid = grid.expand(len(images), -1, -1, -1).to(images)
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
