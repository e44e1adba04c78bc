"""Encodes flow as images for a network: the same motion always has the same colour.

Every encoder divides by one fixed bound, never by the largest motion of a frame. So zero flow has
the same colour in every frame, and a large motion does not change the colour of a small one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional

from slt_fast.errors import UserError
from slt_fast.ops.optical_flow import optical_flow

# Pixels of flow at the frames' own size, 8 bytes each: enough for all threads of a GPU.
_PIXELS_AT_ONCE = 2**22
# Moments that share a motion; a longer pause is one in which nothing moves, as when a screen
# recorder drops still pictures.
_LONGEST_MOTION = 4


def flow_images(
    frames: torch.Tensor,
    *,
    size: tuple[int, int],
    bound: float,
    encoder: str = "uvm",
    preset: str = "default",
    backend: str = "auto",
) -> torch.Tensor:
    """Computes a flow image for each frame of a clip; the first shows zero flow.

    Args:
        frames: As for clip_flow.
        size: Height and width of the images.
        bound: Motion that saturates the encoder, in pixels of the images (not of the frames).
        encoder: "uvm", "wheel" or "hsv".
        preset: As for slt_fast.ops.optical_flow.
        backend: As for slt_fast.ops.optical_flow.

    Returns:
        [T, 3, *size] float32 in [0, 1].

    Raises:
        UserError: No frames, frames that optical_flow refuses, or an unknown encoder.
    """
    flow = clip_flow(frames, size=size, preset=preset, backend=backend)
    return encode_flow(flow, encoder=encoder, bound=bound)


def clip_flow(
    frames: torch.Tensor,
    *,
    size: tuple[int, int],
    preset: str = "default",
    backend: str = "auto",
) -> torch.Tensor:
    """Computes a flow field for each frame of a clip; the first is zero.

    The flow is computed at the frames' own size, then resized as motion, not as colour.

    Args:
        frames: [T, H, W] grey or [T, H, W, 3] RGB, uint8, T >= 1.
        size: Height and width of the result.
        preset: As for slt_fast.ops.optical_flow.
        backend: As for slt_fast.ops.optical_flow.

    Returns:
        [T, 2, *size] float32, (u, v) in pixels of that size, on the device of the frames.

    Raises:
        UserError: No frames, or frames that optical_flow refuses.
    """
    if not len(frames):
        raise UserError("clip_flow: found 0 frames; expected at least 1")
    parts = [Frames(frames, torch.ones(len(frames), dtype=torch.long))]
    return torch.cat(list(flow_parts(parts, size=size, preset=preset, backend=backend)))


@dataclass(frozen=True)
class Frames:
    """Frames of a clip or of a part of it, each of which may be shown at several moments.

    Args:
        distinct: uint8 [n, H, W] or [n, H, W, 3]; none is shown twice running.
        steps: int64 [n] on the CPU, moments since the frame before was first shown; 1 for the first
            frame of a clip, and wherever nothing is repeated.
    """

    distinct: torch.Tensor
    steps: torch.Tensor

    def __len__(self) -> int:
        return int(self.steps.sum())

    def to(self, device: torch.device | str) -> Frames:
        """Returns the frames on a device."""
        return Frames(self.distinct.to(device), self.steps)


def moments(steps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns for each moment of the steps [n] the frame it leads to, and the moments until then.

    Returns:
        int64 [sum(steps)]: the frame's number, and 0 at the moment that shows it.
    """
    frame = torch.arange(len(steps)).repeat_interleave(steps)
    return frame, steps.cumsum(0)[frame] - 1 - torch.arange(len(frame))


def flow_parts(
    parts: Iterable[Frames],
    *,
    size: tuple[int, int],
    preset: str = "default",
    backend: str = "auto",
) -> Iterator[torch.Tensor]:
    """Computes clip_flow of a clip that comes in parts, to the bit, and holds one of them.

    Where frames are repeated, the motion to the next frame is shared by the moments up to it, as if
    it had been steady; the first moments of a longer pause show none.

    Args:
        parts: One part after the other, of any lengths from 1.
        size: Height and width of the result.
        preset: As for slt_fast.ops.optical_flow.
        backend: As for slt_fast.ops.optical_flow.

    Yields:
        [t, 2, *size] float32, as many fields in all as there are moments.

    Raises:
        UserError: Frames that optical_flow refuses.
    """
    last: torch.Tensor | None = None
    for part in parts:
        frames, steps = part.distinct, part.steps
        if last is None:
            yield torch.zeros(1, 2, *size, device=frames.device)
            steps = steps[1:]
        else:
            frames = torch.cat([last, frames])
        # The flow of a whole part at the frames' own size may take gigabytes.
        num_pairs = frames_at_once(*frames.shape[1:3])
        for start in range(0, len(steps), num_pairs):
            pairs = frames[start : start + num_pairs + 1]
            flow = resize_flow(optical_flow(pairs, preset=preset, backend=backend), size)
            yield from _shared(flow, steps[start : start + num_pairs])
        last = frames[-1:].clone()


def _shared(flow: torch.Tensor, steps: torch.Tensor) -> Iterator[torch.Tensor]:
    """Shares each field [n, 2, H, W] among the steps that lead to its frame."""
    if len(flow) == steps.sum():
        yield flow
        return
    frame, left = moments(steps)
    shares = steps.clamp(max=_LONGEST_MOTION)[frame]
    weight = (left < shares) / shares
    # Few at once: a picture may be shown for an hour.
    most = frames_at_once(*flow.shape[-2:])
    for few, share in zip(frame.split(most), weight.to(flow).split(most), strict=True):
        yield flow[few] * share.view(-1, 1, 1, 1)


def frames_at_once(height: int, width: int) -> int:
    """Returns the number of frames of this size, or of pairs of them, to compute on at once."""
    return max(1, _PIXELS_AT_ONCE // (height * width))


def resize_flow(flow: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resizes a flow field and scales its motion: half the width halves the horizontal motion.

    Args:
        flow: [T, 2, H, W] floating point, (u, v) in pixels of H x W.
        size: Height and width of the result.

    Returns:
        [T, 2, *size], (u, v) in pixels of that size; bilinear, averaged when it shrinks.
    """
    H, W = flow.shape[-2:]
    if tuple(size) == (H, W):
        return flow
    resized = functional.interpolate(flow, size, mode="bilinear", antialias=True)
    return resized * resized.new_tensor([size[1] / W, size[0] / H]).view(2, 1, 1)


def encode_flow(
    flow: torch.Tensor,
    *,
    encoder: str = "uvm",
    bound: float,
) -> torch.Tensor:
    """Turns flow into images.

    Args:
        flow: [T, 2, H, W] float32, (u, v) in pixels.
        encoder: "uvm": u, v and the magnitude as they are, zero motion at (0.5, 0.5, 0);
            "wheel": the Middlebury colour wheel, zero motion white; "hsv": direction as hue,
            magnitude as brightness, zero motion black.
        bound: Motion in pixels at which the colours saturate.

    Returns:
        [T, 3, H, W] float32 in [0, 1], on the device of the flow.

    Raises:
        UserError: An unknown encoder, or a bound <= 0.
        ValueError: Another shape, or flow that is not finite.
    """
    if flow.ndim != 4 or flow.shape[1] != 2:
        raise ValueError(f"encode_flow: found flow of {list(flow.shape)}; expected [T, 2, H, W]")
    if encoder not in ENCODERS:
        raise UserError(f"encode_flow: found encoder {encoder!r}; expected one of {list(ENCODERS)}")
    if not (bound > 0 and math.isfinite(bound)):
        raise UserError(f"encode_flow: found bound {bound}; expected a number of pixels above 0")
    finite = torch.isfinite(flow).flatten(1).all(1)
    if not finite.all():
        t = int(finite.logical_not().nonzero()[0])
        raise ValueError(f"encode_flow: found NaN or infinity in the flow of frame {t}")
    return ENCODERS[encoder](flow / bound)


def motion_of(images: torch.Tensor, *, encoder: str) -> torch.Tensor:
    """Returns the length of the motion that images show, over the bound, up to 1.

    Args:
        images: [T, 3, H, W], as encode_flow returns them.
        encoder: Their encoder.

    Returns:
        [T, H, W].
    """
    if encoder == "uvm":
        return images[:, 2]
    # The purest colours of both have a channel of 0 and one of 1.
    return 1 - images.amin(1) if encoder == "wheel" else images.amax(1)


def _encode_uvm(flow: torch.Tensor) -> torch.Tensor:
    directions = 0.5 + 0.5 * flow.clamp(-1, 1)
    return torch.cat([directions, _radius(flow)], dim=1)


def _encode_wheel(flow: torch.Tensor) -> torch.Tensor:
    # Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 2011 (their
    # colorcode.cpp), but colours saturate beyond the bound, and do not get darker.
    wheel = _colour_wheel().to(flow)
    position = (_angle(-flow) / torch.pi + 1) / 2 * (len(wheel) - 1)
    index = position.long().squeeze(1)
    start, end = wheel[index], wheel[(index + 1) % len(wheel)]
    colour = start.lerp(end, position.frac().movedim(1, -1)).movedim(-1, 1)
    return 1 - _radius(flow) * (1 - colour)


def _encode_hsv(flow: torch.Tensor) -> torch.Tensor:
    # Full saturation: a channel is 1 within 60 degrees of its own hue and falls to 0 at 120.
    hue = _angle(flow) * (3 / torch.pi)
    own_hue = flow.new_tensor([0, 2, 4]).view(3, 1, 1)
    distance = ((hue - own_hue + 3) % 6 - 3).abs()
    return _radius(flow) * (2 - distance).clamp(0, 1)


ENCODERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "uvm": _encode_uvm,
    "wheel": _encode_wheel,
    "hsv": _encode_hsv,
}


def _radius(flow: torch.Tensor) -> torch.Tensor:
    # A vector_norm over such a short dimension takes 50 times as long.
    return torch.hypot(flow[:, :1], flow[:, 1:]).clamp(max=1)


def _angle(flow: torch.Tensor) -> torch.Tensor:
    return torch.atan2(flow[:, 1:], flow[:, :1])


def _colour_wheel() -> torch.Tensor:
    """Returns the Middlebury wheel's 55 hues, [55, 3] in [0, 1]: six ramps of perceptual length."""
    red, yellow, green, cyan, blue, magenta = torch.tensor(
        [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]], dtype=torch.float32
    )
    ramps = [
        (red, yellow, 15),
        (yellow, green, 6),
        (green, cyan, 4),
        (cyan, blue, 11),
        (blue, magenta, 13),
        (magenta, red, 6),
    ]
    return torch.cat(
        [start.lerp(end, (torch.arange(n) / n).unsqueeze(1)) for start, end, n in ramps]
    )
