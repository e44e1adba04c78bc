"""Records a video while it is translated, for its page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.batching import PackedClips
from slt_fast.data.clip import Clip
from slt_fast.data.input import flow_device
from slt_fast.data.timed_images import TimedImage, timed_images
from slt_fast.errors import UserError
from slt_fast.inference.explaining import explain
from slt_fast.inference.streaming import Segment
from slt_fast.visualize.drawing import fitted
from slt_fast.visualize.report.page import HEIGHT, ReportedSentence, write_report


class Recording:
    """Frames of a video, as small as its page shows them, and the network's images of them.

    Args:
        trained: The model.
        clip: The video, for errors.
        rate: Images a second.
        longest_s: Seconds of video that it takes at most.
    """

    def __init__(self, trained: TrainedModel, clip: Clip, *, rate: float, longest_s: float) -> None:
        self.frames: list[np.ndarray] = []
        self.times: list[float] = []
        self.rate = rate
        self._trained, self._clip = trained, clip
        self._longest_s, self._most = longest_s, round(longest_s * rate)
        self._images: list[torch.Tensor] = []

    def images(
        self, frames: Iterable[tuple[float, np.ndarray]], *, at_once: int | None = None
    ) -> Iterator[TimedImage]:
        """Yields the images of frames, as timed_images does, and keeps both.

        Raises:
            UserError: The video is too long, or too small for optical flow.
        """
        config = self._trained.recipe.input
        device = next(self._trained.network.parameters()).device
        made = flow_device(config, device) or "cpu"
        for image in timed_images(self._kept(frames), config, made, at_once=at_once):
            self._images.append(image.image.cpu())
            yield image

    def _kept(
        self, frames: Iterable[tuple[float, np.ndarray]]
    ) -> Iterator[tuple[float, np.ndarray]]:
        before, small = np.empty(0), np.empty(0)
        for time, frame in frames:
            if len(self.frames) == self._most:
                found = f"found a video of more than {self._longest_s:g} seconds"
                raise UserError(f"report: {found}; expected a part of it (--start, --end)")
            small = small if frame is before else fitted(frame, HEIGHT)
            before = frame
            self.frames.append(small)
            self.times.append(time)
            yield time, frame

    def sentence(self, segment: Segment) -> ReportedSentence:
        """Explains a segment of the images that were kept."""
        first, end = segment.moments
        images = torch.stack(self._images[first:end])
        if self._trained.recipe.input.input == "flow":
            images[0] = self._images[0]  # zero flow, as when it was translated
        clip = PackedClips((self._clip,), images, torch.tensor([len(images)]))
        saw = explain(self._trained, clip, segment.translation)
        return ReportedSentence(segment.start_s, segment.end_s, first, segment.translation, saw)

    def flow(self, number: int) -> np.ndarray:
        """Returns an image of the network as a picture, uint8 [H, W, 3]."""
        picture = (self._images[number].float().movedim(0, -1) * 255).round().byte()
        return picture.numpy()

    def write(
        self,
        path: Path,
        segments: Sequence[Segment],
        *,
        title: str,
        facts: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Writes the page; raises as write_report does."""
        write_report(
            path,
            [self.sentence(segment) for segment in segments],
            self.frames,
            [self.flow(number) for number in range(len(self.frames))],
            times=self.times,
            title=title,
            rate=self.rate,
            facts=facts,
        )
