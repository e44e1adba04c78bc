"""Which clips of an epoch are read as if filmed at another frame rate, and by which camera."""

from dataclasses import dataclass, replace

import numpy as np

from slt_fast.data.cameras import Camera
from slt_fast.data.clip import AnnotatedClip

# Rates of the cameras, as multiples of the rate of the run.
_HALF = 0.5
_SLOW, _SLOWER, _FASTER = (0.46, 0.64), (0.68, 0.96), (1.04, 1.6)
_VARYING = (1.0, 2.0)
_COMMON = 1.2  # 30 frames a second for 25
# Cameras of each clip, and the shares of the filmed clips that each films.
NUM_CAMERAS = 3
_SHARES = (0.5, 0.25, 0.25)
# Separates the two streams of random numbers.
_CAMERA, _CHOICE = 1, 2


@dataclass(frozen=True)
class OtherRates:
    """Says which clips of an epoch are read as if filmed at another frame rate.

    Each clip has NUM_CAMERAS cameras of its own, so that a run can keep all its images in memory.

    Args:
        share: Share of the clips of an epoch, from 0 to 1.
        rate: Frames per second that the run resamples to.
        seed: Seed of the cameras and of the choice.
    """

    share: float
    rate: float
    seed: int

    def choose(self, epoch: int, index: int) -> int | None:
        """Returns the number of the camera that films a clip in an epoch; None for its own."""
        generator = np.random.default_rng((self.seed, epoch, index, _CHOICE))
        if generator.random() >= self.share:
            return None
        return int(generator.choice(NUM_CAMERAS, p=_SHARES))

    def filmed(self, clip: AnnotatedClip, index: int, number: int) -> AnnotatedClip:
        """Returns a clip, which is `index` in its data set, as one of its cameras films it."""
        source = clip.source.at_rate(self.rate, self.camera(index, number))
        return replace(clip, source=source)

    def camera(self, index: int, number: int) -> Camera:
        """Returns a camera of a clip: 0 is slow, 1 near the run's rate or faster, 2 varies."""
        seed = (self.seed, index, number, _CAMERA)
        generator = np.random.default_rng(seed)
        if number == 2:
            slowest, fastest = _VARYING
            return Camera(slowest * self.rate, fastest * self.rate, seed)
        slow = (_HALF, generator.uniform(*_SLOW))
        near = (_COMMON, generator.uniform(*_SLOWER), generator.uniform(*_FASTER))
        rate = self.rate * float(generator.choice(near if number else slow))
        return Camera(rate, rate)
