"""Makes the images of a network one by one, with their times and how much moves in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import tee
from typing import NamedTuple

import cv2
import numpy as np
import torch

from slt_fast.data.flow_images import Frames, motion_of
from slt_fast.data.input import InputConfig, image_parts
from slt_fast.data.parts import in_parts

# What moves are hands and arms: the share of the pixels that they cover, more or less.
_MOVING_SHARE = 0.05


class TimedImage(NamedTuple):
    """An image of the network, as it sees one moment of a video."""

    seconds: float
    image: torch.Tensor  # float16 [3, image_size, image_size] in [0, 1]
    motion: float  # mean of the fastest 5 % of its pixels, over the flow's bound; 0 to 1


def timed_images(
    frames: Iterable[tuple[float, np.ndarray]],
    config: InputConfig,
    device: torch.device | str = "cpu",
    *,
    at_once: int | None = None,
) -> Iterator[TimedImage]:
    """Yields the images of a clip, which are those of load_images to the bit.

    Memory holds one part of the frames, however long the clip is.

    Args:
        frames: Seconds and frame, uint8 [H, W, 3] RGB of one size, after any resampling; a frame
            that is shown again is the same object.
        config: Settings of the images.
        device: Device that computes, and of the images.
        at_once: Frames to read before their images are made; None means many. Fewer make the
            images known earlier.

    Raises:
        UserError: The frames are too small for optical flow.
    """
    cv2.setNumThreads(0)  # as in read_frames
    times: deque[float] = deque()

    def pictures() -> Iterator[np.ndarray]:
        for time, frame in frames:
            times.append(time)
            yield frame

    for images, motion in _with_motion(in_parts(pictures(), device, at_once=at_once), config):
        for image, strength in zip(images.half(), _strength(motion).tolist(), strict=True):
            yield TimedImage(times.popleft(), image, strength)


def _with_motion(
    parts: Iterable[Frames], config: InputConfig
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yields images [t, 3, size, size], and the motion in them [t, size, size]."""
    if config.input == "flow":
        for images in image_parts(parts, config):
            yield images, motion_of(images, encoder=config.flow_encoder)
        return
    flow = replace(config, input="flow", flow_encoder="uvm")
    # The two come in parts of other lengths, so that both are taken one by one.
    colours, moving = (
        (image for images in image_parts(each, one) for image in images.split(1))
        for each, one in zip(tee(parts), (config, flow), strict=True)
    )
    for image, motion in zip(colours, moving, strict=True):
        yield image, motion_of(motion, encoder="uvm")


def _strength(motion: torch.Tensor) -> torch.Tensor:
    """Returns the mean of the fastest pixels of each image, [t]."""
    pixels = motion.flatten(1)
    return pixels.topk(max(1, round(_MOVING_SHARE * pixels.shape[1])), dim=1).values.mean(1)
