"""Cameras: at which moments the frames of a clip are taken.

A source takes a camera's frames and then resamples them (resampling.py), as it would those of a
video of the camera's rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")

# Of two frames that are about as near to a moment, the earlier is shown: containers round times.
TIE = 0.1


@dataclass(frozen=True)
class Camera:
    """Takes frames at a steady rate, or at one that varies from frame to frame.

    Args:
        slowest: Lowest rate in frames per second.
        fastest: Highest rate; the same as the lowest if the camera is steady.
        seed: Seed of a varying rate.
    """

    slowest: float
    fastest: float
    seed: tuple[int, ...] = ()

    @property
    def rate(self) -> float:
        """Frames per second on average."""
        return 2 / (1 / self.slowest + 1 / self.fastest)

    def moments(self) -> Iterator[float]:
        """Yields the seconds at which the frames are taken, from 0 on, without end."""
        if self.slowest == self.fastest:
            yield from (k / self.slowest for k in count())
        generator, moment = np.random.default_rng(self.seed), 0.0
        while True:
            yield moment
            moment += generator.uniform(1 / self.fastest, 1 / self.slowest)

    def film(self, frames: Iterable[tuple[float, Item]]) -> Iterator[tuple[float, Item]]:
        """Yields those frames, of seconds and frame, that are nearest to a moment of the camera.

        They keep their own times, and none is taken twice: recorded video has no others between.
        """
        moments = self.moments()
        moment, start, gap = next(moments), 0.0, math.inf
        last: tuple[float, Item] | None = None
        for time, frame in frames:
            if last is None:
                start = time
            else:
                gap = time - last[0]
                middle = middle_of(last[0], time, gap) - start
                if moment < middle:
                    yield last
                while moment < middle:
                    moment = next(moments)
            last = time, frame
        if last is not None and moment <= middle_of(last[0], last[0] + gap, gap) - start:
            yield last


def middle_of(before: float, after: float, period: float) -> float:
    """Returns the time from which the frame after another is nearer, or a little later."""
    return (before + after) / 2 + TIE * period
