"""How fast a training goes, and how long it takes yet."""

import time
from datetime import timedelta


class Speed:
    """Frames a second of an epoch, and the time that a training takes yet.

    Args:
        steps_left: Steps of the training from now on.

    Attributes:
        latest: Frames a second of the latest lap.
    """

    latest = 0.0

    def __init__(self, steps_left: int) -> None:
        self._steps, self._began = steps_left, time.monotonic()
        self.start_epoch()

    def start_epoch(self) -> None:
        """Begins to measure: what came before, such as scoring, does not count."""
        self._epoch = self._lap = time.monotonic()
        self._frames = self._num_steps = 0

    def lap(self, frames: int, num_steps: int) -> None:
        """Adds frames and steps that were trained on since the last lap."""
        now = time.monotonic()
        seconds, self._lap = now - self._lap, now
        self._frames += frames
        self._num_steps += num_steps
        self.latest = frames / max(seconds, 1e-9)

    def of_epoch(self) -> dict[str, float]:
        """Returns the pace of the epoch up to the last lap; nothing if no step was taken."""
        if not self._num_steps:
            return {}
        seconds = max(self._lap - self._epoch, 1e-9)
        pace = {"frames_a_second": self._frames / seconds}
        return pace | {"seconds_a_step": seconds / self._num_steps}

    def time_left(self, steps_left: int) -> str:
        """Returns the time that so many steps take at the pace so far, scoring included."""
        done = max(self._steps - steps_left, 1)
        seconds = (time.monotonic() - self._began) * steps_left / done
        return str(timedelta(seconds=round(seconds)))
