"""Finds sentences in a stream of motion: what is signed between two pauses.

How much moves at rest (the camera's noise, a body that sways) and in signing differs from video to
video. So motion counts as signing by where it lies between the two levels of the last seconds:
their lower and upper quantile. Two thresholds, as in Canny's hysteresis: a sentence starts above
the higher one, and lasts as long as pauses below the lower one are short. Its bounds are found
again at its end, by the levels that are known then.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np

from slt_fast.settings import Bounds, check_settings

_QUANTILES = (0.1, 0.8)  # of rest, and of signing
_LOWER, _HIGHER = 0.22, 0.42  # thresholds between the two levels
# Thresholds are at least so many times the lower level, so that rest alone has no sentences.
_LEAST_LOWER, _LEAST_HIGHER = 1.3, 1.6
_HISTORY = 20.0  # seconds that the levels are taken from
_FORGETTING = 1.15  # what the level of rest may rise by in a second, so that signing is not rest
_SMOOTHED = 0.2  # seconds that motion is averaged over
_STARTED = 0.12  # seconds of motion that start a sentence


@dataclass(frozen=True)
class PauseConfig:
    """Settings of the search for pauses; times in seconds."""

    shortest_pause: Annotated[float, Bounds(ge=0.1), Bounds(le=10)] = 0.35
    """Stillness that ends a sentence."""
    shortest_sentence: Annotated[float, Bounds(ge=0.1), Bounds(le=10)] = 0.3
    """Movements that are shorter are left out."""
    longest_sentence: Annotated[float, Bounds(ge=2), Bounds(le=600)] = 30.0
    """A longer one is cut where it moves least, in its second half."""

    def __post_init__(self) -> None:
        check_settings(self)


class Stretch(NamedTuple):
    """Moments of a stream, by their numbers."""

    first: int
    end: int  # the number after the last one
    is_cut: tuple[bool, bool] = (False, False)  # whether its start or end is not at a pause


class PauseFinder:
    """Finds sentences while the motion of a stream comes in; holds a bounded part of it.

    Args:
        config: What is a pause, and what a sentence.
        rate: Moments a second.
    """

    def __init__(self, config: PauseConfig, rate: float) -> None:
        self._pause = max(1, round(config.shortest_pause * rate))
        self._shortest = max(1, round(config.shortest_sentence * rate))
        self._longest = max(2, round(config.longest_sentence * rate))
        self._window = max(1, round(_SMOOTHED * rate))
        self._started = max(1, round(_STARTED * rate))
        self._second = round(rate)
        self._history: deque[float] = deque(maxlen=round(_HISTORY * rate))
        self._rest = math.inf  # the level of rest
        self._forgetting = _FORGETTING ** (1 / rate)
        self._raw: list[float] = []  # motion from the moment `self.needed` on
        self._motion: list[float] = []  # the same, smoothed
        self.needed = 0  # the first moment that a sentence may still begin with
        self._start: int | None = None  # of the sentence that goes on
        self._cut_at = -1  # where the sentence before it was cut, if that was not at a pause
        self._still = self._moving = 0  # moments at the end that are below, or above

    def add(self, motion: float) -> Stretch | None:
        """Takes the motion of the next moment; returns the sentence that it ends, if any."""
        self._raw.append(motion)
        smoothed = float(np.mean(self._raw[-self._window :]))
        self._motion.append(smoothed)
        if self._start is not None or self._still < self._second:
            self._history.append(smoothed)  # a long rest would push out what signing looks like
        if len(self._history) >= self._second:
            known = float(np.quantile(self._history, _QUANTILES[0]))
            self._rest = min(self._forgetting * self._rest, known)
        lower, higher = self._thresholds()
        if smoothed < lower:
            self._still += 1
        elif self._start is not None or smoothed >= higher:
            self._still = 0
        self._moving = self._moving + 1 if smoothed >= higher else 0
        if self._start is None:
            self._wait()
            return None
        if self._still >= self._pause:
            return self.finish()
        return self._cut() if self._end - self._start >= self._longest else None

    def going_on(self) -> Stretch | None:
        """Returns the sentence that is signed now, up to the last moment; None in a pause."""
        found = self._found()
        return None if found is None else found._replace(end=self._end)

    def finish(self) -> Stretch | None:
        """Ends the sentence that is signed now; returns it if there is one."""
        found = self._found()
        self._start, self._moving, self._cut_at = None, 0, -1
        self._forget(self._end - self._before)
        return found

    @property
    def _end(self) -> int:
        return self.needed + len(self._motion)

    @property
    def _before(self) -> int:
        """Moments before a sentence that may turn out to belong to it."""
        return self._started + 2 * self._window

    def _thresholds(self) -> tuple[float, float]:
        rest, signing = np.quantile(self._history, _QUANTILES)
        rest = min(rest, self._rest)
        lower, higher = (rest + share * (signing - rest) for share in (_LOWER, _HIGHER))
        return max(lower, _LEAST_LOWER * rest), max(higher, _LEAST_HIGHER * rest)

    def _wait(self) -> None:
        """Starts a sentence if enough moves."""
        if self._moving >= self._started:
            self._start, self._still = self._end - self._moving, 0
        else:
            self._forget(self._end - self._before)

    def _found(self) -> Stretch | None:
        """Returns the sentence so far, without rest around it; None if there is too little."""
        if self._start is None:
            return None
        lower, higher = self._thresholds()
        motion, raw = np.array(self._motion), np.array(self._raw)
        if (motion >= higher).sum() < self._started:
            return None
        moving = np.flatnonzero(motion >= lower)
        # The average is over this moment and those before it: it finds the region, and lags behind.
        region = np.arange(len(raw))
        region = (region >= moving[0] - self._window) & (region <= moving[-1])
        moving = np.flatnonzero(region & (raw >= higher))
        # A moment shows the motion since the one before, where the sentence begins; in the last
        # one the hands come to rest.
        first, end = max(int(moving[0]) - 1, 0), int(moving[-1])
        if end - first < self._shortest:
            return None
        first, end = self.needed + first, self.needed + end
        return Stretch(first, end, (first <= self._cut_at, False))

    def _cut(self) -> Stretch | None:
        """Cuts a sentence that is too long where it moves least, and goes on with the rest."""
        found = self._found()
        half = len(self._motion) // 2
        place = self.needed + half + int(np.argmin(self._motion[half:]))
        self._start = self._cut_at = place
        self._forget(place)
        if found is None or found.first >= place:
            return None
        return found._replace(end=place, is_cut=(found.is_cut[0], True))

    def _forget(self, until: int) -> None:
        dropped = max(until - self.needed, 0)
        del self._motion[:dropped], self._raw[:dropped]
        self.needed += dropped
