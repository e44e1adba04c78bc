"""Cases of patch.h."""

import numpy as np

from tests.csrc.core_cases.case import (
    ADVERSARIAL,
    INF,
    NAN,
    Case,
    Columns,
    bounded,
    every,
    of_magnitudes,
    random,
)
from tests.csrc.core_cases.interpolation import corner


def corner_of_patch(row, column, u, v, height, width) -> Columns:
    return corner(bounded(row + v, -7, height - 1), bounded(column + u, -7, width - 1))


def sums_of_patches() -> np.ndarray:
    """Returns sums over random patches: textured, stripes in any direction, faint and flat."""
    generator = np.random.default_rng(0)
    gradients = generator.uniform(-1, 1, (400, 2, 64))
    direction = generator.uniform(0, 2 * np.pi, (200, 1))
    gradients[:200] = np.stack([np.cos(direction), np.sin(direction)], 1) * gradients[:200, :1]
    gradients *= np.tile([127.5, 12, 0.1, 1e-3, 0], 80)[:, None, None]
    x, y = gradients.astype(np.float32).transpose(1, 0, 2)
    return np.stack([(x * x).sum(1), (x * y).sum(1), (y * y).sum(1), x.sum(1), y.sum(1)], axis=1)


def damped_inverse(xx, xy, yy, x, y) -> Columns:
    determinant = np.linalg.det(np.stack([xx, xy, xy, yy], axis=-1).reshape(-1, 2, 2))
    scale = 0.25 / np.maximum(determinant, np.maximum(1e-3 * (xx + yy) ** 2, 1e-3))
    return scale * yy, -scale * xy, scale * xx, x / 64, y / 64


def _largest(columns: Columns) -> Columns:
    """Returns scales: the largest entry for the matrix, and each mean for itself."""
    size = np.abs(columns[:3]).max(axis=0)
    return size, size, size, np.abs(columns[3]), np.abs(columns[4])


def stepped(u, v, xx, xy, yy, mean_x, mean_y, x, y) -> Columns:
    return u - (xx * x + xy * y), v - (xy * x + yy * y)


def terms_of_step(u, v, xx, xy, yy, mean_x, mean_y, x, y) -> Columns:
    return u + (xx * x + xy * y), v + (xy * x + yy * y)


def accepted(u, v, start_u, start_v) -> Columns:
    is_near = np.hypot(u - start_u, v - start_v) <= 8
    return np.where(is_near, u, start_u), np.where(is_near, v, start_v)


def covering_patches() -> np.ndarray:
    """Returns every pixel of sides of 8 to 40 pixels, every stride, and the number of patches."""
    return np.array(
        [
            (pixel, stride, len(range(0, side - 7, stride)))
            for side in range(8, 41)
            for stride in range(1, 9)
            for pixel in range(side)
        ],
        np.float32,
    )


def first_and_last_patch(pixels, strides, patches) -> Columns:
    bounds = []
    for pixel, stride, count in zip(pixels, strides, patches.astype(int), strict=True):
        reached = [k for k in range(count) if stride * k <= pixel < stride * k + 8]
        bounds.append((reached[0], reached[-1]) if reached else (count - 1, count - 1))
    first, last = np.array(bounds).T
    return first, last


# Rounding may move values closer to a pixel than these onto the pixel.
MOTIONS = [value for value in ADVERSARIAL if not 0 < abs(value) < 1e-3]
CASES = {
    "larger": Case(
        # If the first value is NaN, the second is taken, as a weight needs.
        np.concatenate([every(ADVERSARIAL, [-5, 0, 1, INF]), random(9, 9)]),
        lambda a, b: (np.fmax(a, b),),
        0,
    ),
    "step_of": Case(
        sums_of_patches(), damped_inverse, 1e-4, lambda *sums: _largest(damped_inverse(*sums))
    ),
    "patch_corner": Case(
        np.concatenate(
            [
                every([0, 212], [0, 4, 212], MOTIONS, MOTIONS, [220], [220, 300]),
                np.round(random(0, 0, 900, 900, 0, 0) * 64) / 64
                + np.float32([40, 80, 0, 0, 90, 97]),
            ]
        ),
        corner_of_patch,
        0,
    ),
    "stepped": Case(
        random(9, 9, 1e-3, 1e-3, 1e-3, 30, 30, 1e5, 1e5),
        stepped,
        1e-6,
        of_magnitudes(terms_of_step),
    ),
    "accepted": Case(
        np.concatenate(
            [
                every(
                    [0, 8, np.nextafter(np.float32(8), INF), -8, 5, INF, -INF, NAN, 3e38],
                    [0, 6, NAN, INF],
                    [0],
                    [0],
                ),
                random(20, 20, 20, 20),
            ]
        ),
        accepted,
        0,
    ),
    "covering": Case(covering_patches(), first_and_last_patch, 0),
    "inner_position": Case(
        every(ADVERSARIAL, [8, 9, 220, 32767]),
        lambda position, length: (bounded(position, 0, np.float32(length - 1) - np.float32(1e-3)),),
        0,
    ),
    "motion_weight": Case(
        every([0, -0.5, 0.5, 1, -1, 1.5, -2, 255, -255, INF, -INF, NAN]),
        lambda difference: (1 / np.fmax(np.abs(difference), 1),),
        1e-7,
    ),
}
