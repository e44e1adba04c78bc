"""Interpolation and derivatives of images [P, H, W]; border pixels repeat outside."""

import torch
import torch.nn.functional as F


def bounded(values: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Clamps values to low..high; NaN becomes `low`, so the result can be an index."""
    return torch.where(values > low, values, low).clamp(max=high)


def pixels(side: int, like: torch.Tensor) -> torch.Tensor:
    """Returns the positions 0 to side - 1, with the dtype and device of `like`."""
    return torch.arange(side, dtype=like.dtype, device=like.device)


def sampled(images: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Interpolates bilinearly at finite positions y, x [P, ...]."""
    top, left = y.floor(), x.floor()
    return blended(images, top.long(), left.long(), y - top, x - left)


def blended(
    images: torch.Tensor,
    top: torch.Tensor,
    left: torch.Tensor,
    down: torch.Tensor,
    right: torch.Tensor,
) -> torch.Tensor:
    """Interpolates between four pixels: 0 to 1 pixel `down` and `right` from the first.

    The first is at integer positions `top` and `left` [P, ...]; `down` and `right` broadcast.
    """
    H, W = images.shape[1:]

    def pixel(row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
        position = row.clamp(0, H - 1) * W + column.clamp(0, W - 1)
        return images.flatten(1).gather(1, position.flatten(1)).view_as(position)

    return (
        (1 - down) * (1 - right) * pixel(top, left)
        + (1 - down) * right * pixel(top, left + 1)
        + down * (1 - right) * pixel(top + 1, left)
        + down * right * pixel(top + 1, left + 1)
    )


def neighbours(images: torch.Tensor, *, beyond: str) -> tuple[torch.Tensor, ...]:
    """Returns the left, right, upper and lower neighbour of each pixel, each [..., H, W].

    Beyond the border are "repeated" pixels or "zero".
    """
    mode = {"repeated": "replicate", "zero": "constant"}[beyond]
    padded = F.pad(images, (1, 1, 1, 1), mode=mode)
    inner = slice(1, -1)
    return (
        padded[..., inner, :-2],
        padded[..., inner, 2:],
        padded[..., :-2, inner],
        padded[..., 2:, inner],
    )


def central_differences(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Computes derivatives along x and y: half the difference of the two neighbours."""
    left, right, up, down = neighbours(images, beyond="repeated")
    return (right - left) / 2, (down - up) / 2


def sobel_gradients(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Computes derivatives along x and y by Sobel's 3x3 masks, in grey levels a pixel."""
    along = torch.tensor([-1, 0, 1], dtype=images.dtype, device=images.device) / 2
    across = torch.tensor([1, 2, 1], dtype=images.dtype, device=images.device) / 4
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")

    def filtered(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        windows = padded.unfold(1, 3, 1).unfold(2, 3, 1)
        return (windows * (rows[:, None] * columns)).sum(dim=(-2, -1))

    return filtered(across, along), filtered(along, across)
