"""Signers: their looks (skin, clothes, build, background, light, camera) and manner of signing."""

from dataclasses import dataclass

import numpy as np

BACKGROUNDS = ("plain", "gradient", "stripes", "blobs")


@dataclass(frozen=True)
class Signer:
    """Everything that differs between signers; colours are RGB 0..255, factors are around 1."""

    name: str  # in annotations
    seed: int  # of the background's texture
    skin: tuple[float, ...]
    hair: tuple[float, ...]
    clothes: tuple[float, ...]
    clothes_stripe: tuple[float, ...]  # may equal the clothes
    background: tuple[float, ...]
    background_accent: tuple[float, ...]
    backdrop: str  # one of BACKGROUNDS
    build: float  # width of shoulders and limbs, factor
    head_height: float  # as a share of the frame width
    centre: tuple[float, float]  # of the head, x as a share of the width, y of the height
    light: tuple[float, float]  # brightness factors at the left and the right border
    noise: float  # standard deviation of the camera noise, grey levels
    speed: float  # factor on the signing speed
    amplitude: float  # factor on the size of movements
    location_offset: tuple[float, float]  # personal offset of all locations, head heights
    sway: float  # amplitude of the body's idle movement, head heights


def draw_signer(corpus_seed: int, index: int) -> Signer:
    """Draws a signer of a corpus by number, from 0; any number of signers can be drawn."""
    generator = np.random.default_rng((corpus_seed, 1, index))
    uniform = generator.uniform
    skin = tuple(np.array([250, 214, 186]) * uniform(0.35, 1.0) * uniform(0.95, 1.02, 3))
    clothes = _colour_unlike(generator, skin)
    return Signer(
        name=f"Signer{index + 1:02d}",
        seed=int(generator.integers(2**31)),
        skin=skin,
        hair=tuple(np.array([200, 160, 110]) * uniform(0.1, 0.9)),
        clothes=clothes,
        clothes_stripe=tuple(uniform(20, 235, 3)) if uniform() < 0.5 else clothes,
        background=(background := _colour_unlike(generator, clothes)),
        background_accent=tuple(np.clip(np.array(background) + uniform(-50, 50, 3), 0, 255)),
        backdrop=str(generator.choice(BACKGROUNDS)),
        build=float(uniform(0.85, 1.2)),
        head_height=float(uniform(0.2, 0.25)),
        centre=(float(uniform(0.46, 0.54)), float(uniform(0.24, 0.31))),
        light=(float(uniform(0.65, 1.15)), float(uniform(0.65, 1.15))),
        noise=float(uniform(1.0, 4.0)),
        speed=float(uniform(0.85, 1.2)),
        amplitude=float(uniform(0.85, 1.2)),
        location_offset=(float(uniform(-0.1, 0.1)), float(uniform(-0.1, 0.1))),
        sway=float(uniform(0.0, 0.03)),
    )


def _colour_unlike(generator: np.random.Generator, other: tuple[float, ...]) -> tuple[float, ...]:
    """Draws a contrasting colour: signers are asked to wear what contrasts with their hands."""
    while True:
        colour = generator.uniform(20, 235, 3)
        if np.abs(colour - other).sum() > 150:
            return tuple(colour)
