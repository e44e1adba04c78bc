"""Draws poses as frames: background, body, head, arms and hands, light and camera noise."""

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from slt_fast.data.synthetic.motion import Poses
from slt_fast.data.synthetic.signer import Signer

Point = Sequence[float] | np.ndarray  # x and y
Colour = tuple[float, ...]  # RGB, 0..255

SHIFT = 4  # fractional bits of cv2's drawing coordinates: edges move by less than a pixel
UPPER_ARM, FOREARM = 1.1, 1.05  # head heights
FINGER_DIRECTIONS = np.array([-65.0, -22.0, -7.0, 8.0, 24.0])  # degrees at full spread
FINGER_LENGTHS = np.array([0.42, 0.62, 0.66, 0.62, 0.52])  # head heights
PALM_RADIUS = 0.25


def render(
    poses: Poses, signer: Signer, generator: np.random.Generator, *, size: tuple[int, int]
) -> np.ndarray:
    """Draws poses as frames of (H, W) pixels, uint8 [T, H, W, 3] RGB, with camera noise."""
    H, W = size
    background = _background(signer, H, W)
    light = np.linspace(*signer.light, W, dtype=np.float32)[None, :, None]
    frames = np.empty((len(poses.brows), H, W, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[:] = background
        _Figure(frame, signer, poses, t).draw()
        noise = signer.noise * generator.standard_normal((H, W, 3), dtype=np.float32)
        frame[:] = np.clip(frame * light + noise, 0, 255)
    return frames


def _background(signer: Signer, H: int, W: int) -> np.ndarray:
    """Draws the backdrop, the same in each frame; float32 [H, W, 3]."""
    generator = np.random.default_rng(signer.seed)
    y, x = np.mgrid[0:H, 0:W].astype(np.float32) / W
    if signer.backdrop == "plain":
        share: np.ndarray = np.zeros((H, W), np.float32)
    elif signer.backdrop == "gradient":
        share = y * W / H
    elif signer.backdrop == "stripes":
        angle = generator.uniform(0, np.pi)
        wave = np.sin(2 * np.pi * generator.uniform(3, 8) * (x * np.cos(angle) + y * np.sin(angle)))
        share = (wave > 0).astype(np.float32)
    else:
        blobs = generator.random((6, 6), dtype=np.float32)
        share = cv2.resize(blobs, (W, H), interpolation=cv2.INTER_CUBIC)
    colours = (signer.background, signer.background_accent)
    first, second = (np.array(colour, np.float32) for colour in colours)
    return np.clip(first + share[..., None] * (second - first), 0, 255)


class _Figure:
    """Draws the signer in one frame, in head heights from the neutral centre of the head."""

    def __init__(self, frame: np.ndarray, signer: Signer, poses: Poses, t: int) -> None:
        H, W, _ = frame.shape
        self.frame, self.signer = frame, signer
        self.unit = signer.head_height * W
        self.origin = (signer.centre[0] * W, signer.centre[1] * H)
        self.right, self.left = poses.right[t], poses.left[t]
        self.head, self.brows = poses.head[t], poses.brows[t]
        self.sway = self.head[:2] * 0.3  # the body follows the head a little

    def draw(self) -> None:
        """Draws back to front."""
        self._torso()
        self._head()
        for side, hand in ((1, self.left), (-1, self.right)):
            self._arm(side, hand)
            self._hand(side, hand)

    def _torso(self) -> None:
        width = 0.95 * self.signer.build
        outline = [
            (-0.2, 0.55), (-width, 0.85), (-width * 0.9, 4.5),
            (width * 0.9, 4.5), (width, 0.85), (0.2, 0.55),
        ]  # fmt: skip
        self._polygon(np.array(outline) + self.sway, self.signer.clothes)
        if self.signer.clothes_stripe != self.signer.clothes:
            for y in np.arange(1.2, 3.8, 0.5):
                left, right = np.array([(-width * 0.9, y), (width * 0.9, y)]) + self.sway
                self._line(left, right, 0.16, self.signer.clothes_stripe)
        neck = np.array([0, 0.3]) + self.head[:2], np.array([0, 0.7]) + self.sway
        self._line(*neck, 0.34, self._shade(0.9))

    def _head(self) -> None:
        centre, yaw, size = self.head[:2], self.head[2], self.head[3]
        self._ellipse(centre + (0, -0.08 * size), (0.43 * size, 0.53 * size), self.signer.hair)
        self._ellipse(centre + (0, 0.04 * size), (0.37 * size, 0.47 * size), self.signer.skin)
        turn = 0.16 * yaw * size
        dark = self._shade(0.35)
        for side in (-1, 1):
            eye = centre + (turn + side * 0.15 * size, -0.06 * size)
            self._ellipse(eye, (0.055 * size, 0.04 * size), (25, 20, 20))
            brow = eye + (0, (-0.1 - 0.09 * self.brows) * size)
            self._line(brow - (0.08 * size, 0), brow + (0.08 * size, 0), 0.05, dark)
        mouth = centre + (turn, 0.27 * size)
        self._line(mouth - (0.1 * size, 0), mouth + (0.1 * size, 0), 0.06, self._shade(0.55))
        nose = centre + (turn * 1.3, 0.05 * size)
        self._line(nose, nose + (0, 0.08 * size), 0.05, self._shade(0.75))

    def _arm(self, side: int, hand: np.ndarray) -> None:
        shoulder = np.array([side * 0.82 * self.signer.build, 1.0]) + self.sway
        wrist = hand[:2]
        elbow = _elbow(shoulder, wrist, side)
        thickness = 0.32 * self.signer.build
        self._line(shoulder, elbow, thickness, self._shade(0.85, self.signer.clothes))
        self._line(elbow, wrist, thickness * 0.85, self._shade(0.92, self.signer.clothes))

    def _hand(self, side: int, hand: np.ndarray) -> None:
        """Draws palm and fingers with a darker rim, so that they are visible before the face."""
        wrist, size, orientation = hand[:2], hand[2], hand[3]
        extension, spread = hand[4:9], hand[9]
        # The thumb points to the midline; angles are from upwards, clockwise in the image.
        angles = np.deg2rad(orientation - side * FINGER_DIRECTIONS * (0.35 + 0.65 * spread))
        directions = np.stack([np.sin(angles), -np.cos(angles)], axis=1)
        tips = wrist + directions * size * (0.12 + FINGER_LENGTHS * extension)[:, None]
        for grow, colour in ((0.06, self._shade(0.55)), (0.0, self.signer.skin)):
            radius = (PALM_RADIUS + grow) * size
            self._ellipse(wrist, (radius, radius), colour)
            for tip, extended in zip(tips, extension, strict=True):
                if extended > 0.05:  # a closed finger is inside the palm
                    self._line(wrist, tip, (0.13 + grow) * size, colour)

    def _shade(self, factor: float, colour: Colour | None = None) -> Colour:
        return tuple(factor * channel for channel in colour or self.signer.skin)

    def _pixel(self, x: float, y: float) -> tuple[int, int]:
        """Returns the fixed-point pixel coordinates of a point in head heights."""
        unit, (left, top) = self.unit, self.origin
        x, y = float(x), float(y)  # NumPy's own scalars round slowly
        return round((left + x * unit) * (1 << SHIFT)), round((top + y * unit) * (1 << SHIFT))

    def _polygon(self, points: Iterable[Point], colour: Colour) -> None:
        pixels = np.array([self._pixel(x, y) for x, y in points], np.int32)
        cv2.fillPoly(self.frame, [pixels], colour, cv2.LINE_AA, SHIFT)

    def _line(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        """Draws a polygon and two discs: cv2's own thick lines have whole-pixel widths."""
        (x0, y0), (x1, y1) = start, end
        share = 0.5 * width / max(math.hypot(x1 - x0, y1 - y0), 1e-6)
        nx, ny = -(y1 - y0) * share, (x1 - x0) * share
        corners = (x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)
        self._polygon(corners, colour)
        for point in (start, end):
            self._ellipse(point, (0.5 * width, 0.5 * width), colour)

    def _ellipse(self, centre: Point, radii: Point, colour: Colour) -> None:
        axes = [round(float(radius) * self.unit * (1 << SHIFT)) for radius in radii]
        pixel = self._pixel(*centre)
        cv2.ellipse(self.frame, pixel, axes, 0, 0, 360, colour, -1, cv2.LINE_AA, SHIFT)


def _elbow(shoulder: np.ndarray, wrist: np.ndarray, side: int) -> np.ndarray:
    """Returns the elbow by two-link inverse kinematics, bent outwards and down."""
    reach = wrist - shoulder
    distance = float(np.clip(np.hypot(*reach), 1e-6, UPPER_ARM + FOREARM - 1e-6))
    cosine = (UPPER_ARM**2 + distance**2 - FOREARM**2) / (2 * UPPER_ARM * distance)
    along = UPPER_ARM * float(np.clip(cosine, -1, 1))
    height = np.sqrt(max(UPPER_ARM**2 - along**2, 0.0))
    direction = reach / max(np.hypot(*reach), 1e-6)
    normal = np.array([-direction[1], direction[0]])
    if normal[0] * side + 0.5 * normal[1] < 0:
        normal = -normal
    return shoulder + along * direction + height * normal
