"""Sources of frames, and the identity by which the flow of a source is found again."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Annotated, Any, Literal, Protocol

import numpy as np

from slt_fast.data.cameras import Camera
from slt_fast.errors import DataError, result_or_error
from slt_fast.settings import Bounds

Rate = Annotated[float, Bounds(ge=1, le=1000)]  # frames per second
# Frames per second that clips are resampled to; "native" leaves them as they are.
FrameRate = Rate | Literal["native"]

_ASKED = 100  # so many clips of a data set are asked for their rate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """Identifies a source in its data set and detects when it changed; ready for JSON.

    Args:
        name: Readable name; other sources may share it.
        place: Path in the data set with the first frame and the one after the last, rate and camera
            if frames are resampled, and the crop box if there is one; or everything that determines
            a rendered clip.
        state: Bytes, time of change and decoder of a video, names and bytes of a folder's frames,
            or the version that renders.
    """

    name: str
    place: dict[str, Any]
    state: dict[str, Any]


class FrameSource(Protocol):
    """Anything that frames can be read from; picklable, so that worker processes can read it."""

    @property
    def name(self) -> str:
        """Name in errors."""

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the frames one by one, uint8 [H, W, 3] RGB of one size; none is changed later."""

    def read(self) -> np.ndarray:
        """Returns all frames, uint8 [T, H, W, 3] RGB."""

    def num_frames(self) -> int:
        """Counts the frames that `read` returns, if possible without decoding them."""

    def estimated_frames(self) -> int:
        """Estimates the number of frames without decoding any."""

    def frame_rate(self) -> float | None:
        """Returns the frames per second before any resampling; None if unknown."""

    def at_rate(self, rate: float, camera: Camera | None = None) -> FrameSource:
        """Returns the source resampled to a number of frames per second.

        Args:
            rate: Frames per second.
            camera: Takes the frames that are resampled; None means the source's own.
        """

    def place(self, data_root: Path) -> tuple[str, dict[str, Any]]:
        """Returns name and place, relative to the data set, of the identity, without the disk.

        Raises:
            DataError: The source has no identity, because its frames are not its own.
        """

    def identity(self, data_root: Path) -> Identity:
        """Returns the identity of the source as it is now; paths are relative to the data set.

        Raises:
            DataError: The source has no identity, or is a folder without frames.
            OSError: The source cannot be read.
        """

    def neutral(self) -> FrameSource | None:
        """Returns the same signing with head and face as in a statement; None for real video."""


def with_rate(source: FrameSource, fps: FrameRate) -> FrameSource:
    """Returns the source resampled to `fps`."""
    return source if fps == "native" else source.at_rate(fps)


def common_rate(sources: Sequence[FrameSource]) -> FrameRate:
    """Returns the median of the sources' frame rates, or "native" if none is known."""
    asked = sources[:: 1 + len(sources) // _ASKED]
    found = [result_or_error(source.name, source.frame_rate) for source in asked]
    rates = [rate for rate in found if rate is not None and not isinstance(rate, DataError)]
    if not rates:
        logger.warning("no clip has a known frame rate: they are not resampled (see --fps)")
        return "native"
    rate = median_low(rates)
    if min(rates) < 0.99 * rate or max(rates) > 1.01 * rate:
        text = "clips have %.4g to %.4g frames a second; they are resampled to %.4g (see --fps)"
        logger.info(text, min(rates), max(rates), rate)
    return rate


def join(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Joins arrays along their first axis in one growing block.

    np.concatenate would hold all of them twice. Thousands of small ones, kept between the large
    arrays that make them, would scatter the memory until it is several times as large.
    """
    joined, count = np.empty(0, np.uint8), 0
    for part in parts:
        if count == 0:
            joined = np.empty((0, *part.shape[1:]), part.dtype)
        end = count + len(part)
        if end > len(joined):
            joined.resize((end + end // 4 + 15, *part.shape[1:]), refcheck=False)
        joined[count:end], count = part, end
    joined.resize((count, *joined.shape[1:]), refcheck=False)
    return joined
