"""Resamples frames in time, so that a model sees the frames per second it was trained on.

Each moment k / rate after the first frame shows the frame whose time is nearest to it. A clip that
has the rate already keeps each frame once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

from slt_fast.data.cameras import Camera, middle_of

Item = TypeVar("Item")

# Rates that differ by less are the same: 29.97 and 30, or a phone's 24.9 and 25.
_SAME_RATE = 0.01


def fitting_rate(rate: float, own: float | None) -> float:
    """Returns the clip's own rate if it is the same within 1 %, otherwise `rate`."""
    return own if own is not None and abs(own / rate - 1) < _SAME_RATE else rate


def resampled(
    frames: Iterable[tuple[float, Item]],
    rate: float,
    own: float | None,
    camera: Camera | None = None,
) -> Iterator[Item]:
    """Yields the nearest frame of each moment; see timed_moments."""
    return (frame for _, frame in timed_moments(frames, rate, own, camera))


def timed_moments(
    frames: Iterable[tuple[float, Item]],
    rate: float,
    own: float | None,
    camera: Camera | None = None,
) -> Iterator[tuple[float, Item]]:
    """Yields the seconds and the nearest frame of each moment, as soon as the next frame is known.

    Args:
        frames: Seconds and frame, in the order of time.
        rate: Frames per second of the result.
        own: Frames per second of the frames on average, which tells how long the last one lasts;
            None means as long as one of the result.
        camera: Takes its frames from these first; None takes all.
    """
    if camera is not None:
        frames, own = camera.film(frames), _filmed_rate(camera, own)
    rate, moment = fitting_rate(rate, own), 0
    start, before, shown = 0.0, math.nan, None
    for time, frame in frames:
        if shown is None:
            start = time
        else:
            # The next frame is shown from the middle between the two on, or a little later.
            middle = middle_of(before, time, min(time - before, 1 / rate))
            while (shown_at := start + moment / rate) < middle:
                yield shown_at, shown
                moment += 1
        before, shown = time, frame
    if shown is not None:
        for last in range(moment, _num_moments(before - start, rate, own)):
            yield start + last / rate, shown


def count_resampled(
    times: list[float], rate: float, own: float | None, camera: Camera | None = None
) -> int:
    """Counts what `resampled` yields for frames at these times, in seconds."""
    if not times:
        return 0
    if camera is not None:
        times = [time for time, _ in camera.film(zip(times, times, strict=True))]
        own = _filmed_rate(camera, own)
    return _num_moments(times[-1] - times[0], fitting_rate(rate, own), own)


def distinct(frames: Iterable[Item]) -> Iterator[tuple[Item, int]]:
    """Yields each frame that is another object than the one before it, as `resampled` repeats them.

    Yields:
        A frame, and the moments since the frame before it was first shown: 1 for the first frame,
        and wherever nothing is repeated. Repeats at the end come as the last frame once more.
    """
    last, steps = None, 0
    for frame in frames:
        steps += 1
        if frame is not last:
            yield frame, steps
            last, steps = frame, 0
    if last is not None and steps:
        yield last, steps


def _filmed_rate(camera: Camera, own: float | None) -> float:
    """Returns the frames per second that a camera takes from recorded ones: never more."""
    return camera.rate if own is None else min(camera.rate, own)


def _num_moments(seconds: float, rate: float, own: float | None) -> int:
    """Counts the moments of a clip whose last frame begins after `seconds`.

    That frame counts to half a moment before its end: rounded times neither add nor drop one.
    """
    rest = max(1 / (own or rate) - 0.5 / rate, 0.0)
    return int((seconds + rest) * rate + 1e-6) + 1
