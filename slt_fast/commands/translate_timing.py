"""Counts how fast videos are translated, for slt-translate --timing."""

from __future__ import annotations

import time
from statistics import median

from slt_fast.inference.streaming import Segment


class Timing:
    """Seconds of video and seconds that their translation took; starts when it is made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._seconds: list[float] = []  # of each sentence, to translate
        self._video = self._first = self._last = 0.0
        self._is_new = True  # the next segment is the first of a video
        self.num_dropped = 0

    def add(self, segment: Segment) -> None:
        """Counts a sentence."""
        if self._is_new:
            self._first, self._is_new = segment.start_s, False
        self._last = segment.end_s
        self._seconds.append(segment.compute_s)

    def end_video(self, seconds: float | None = None) -> None:
        """Counts a video; None takes what is from its first to its last sentence."""
        self._video += seconds if seconds is not None else self._last - self._first
        self._first = self._last = 0.0
        self._is_new = True

    def wall_s(self) -> float:
        """Returns the seconds since it was made."""
        return time.perf_counter() - self._started

    def __str__(self) -> str:
        wall = self.wall_s()
        line = (
            f"timing: {self._video:.1f} seconds of video in {wall:.1f} "
            f"({self._video / wall:.2f} times real time), {len(self._seconds)} sentences"
        )
        if self._seconds:
            middle, most = median(self._seconds), max(self._seconds)
            line += f", from pause to text {middle:.3f} seconds (median), {most:.3f} (at most)"
        return f"{line}, {self.num_dropped} frames dropped"
