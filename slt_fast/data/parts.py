"""Cuts frames that come one by one into parts, which fit into the memory."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from slt_fast.data.flow_images import Frames, frames_at_once
from slt_fast.data.resampling import distinct


def in_parts(
    frames: Iterable[np.ndarray], device: torch.device | str = "cpu", *, at_once: int | None = None
) -> Iterator[Frames]:
    """Yields parts of a clip on a device.

    Args:
        frames: uint8 [H, W, 3] of one size; a frame that is shown again is the same object.
        device: Device of the parts.
        at_once: Frames of a part; None means as many as the flow is computed for at once.
    """
    part: list[np.ndarray] = []
    steps: list[int] = []
    for frame, step in distinct(frames):
        part.append(frame)
        steps.append(step)
        if len(part) >= (at_once or frames_at_once(*frame.shape[:2])):
            yield _frames(part, steps).to(device)
            part, steps = [], []
    if part:
        yield _frames(part, steps).to(device)


def _frames(distinct: Sequence[np.ndarray], steps: Sequence[int]) -> Frames:
    return Frames(torch.from_numpy(np.stack(distinct)), torch.tensor(steps))
