"""Writes the page of a translation, for slt-translate --report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from slt_fast.commands.translate_inputs import Input
from slt_fast.data.batching import PackedClips
from slt_fast.data.clip import Clip
from slt_fast.data.input import flow_device
from slt_fast.data.timed_images import timed_images
from slt_fast.errors import UserError, printable
from slt_fast.files import check_outputs
from slt_fast.inference.explaining import explain
from slt_fast.inference.streaming import Segment
from slt_fast.inference.translator import Translator
from slt_fast.visualize.drawing import fitted
from slt_fast.visualize.report import HEIGHT, ReportedSentence, write_report

_LONGEST = 300  # seconds; a page of more would be slow to open


def check_report(path: Path | None, inputs: Sequence[Input]) -> None:
    """Raises UserError if a page cannot be written for these videos."""
    if path is None:
        return
    if path.suffix.lower() != ".html":
        raise UserError(f"report: found suffix {path.suffix!r}; expected .html")
    if len(inputs) != 1:
        raise UserError(f"report: found {len(inputs)} videos; expected one")
    check_outputs({"report": path}, {"videos": [inputs[0].source.path, *inputs[0].read_with]})


def write_report_of(
    translator: Translator,
    one: Input,
    segments: Sequence[Segment],
    path: Path,
    *,
    model: str,
    wall_s: float,
) -> None:
    """Writes a page of a video that was translated, which is read once more.

    Args:
        translator: The model.
        one: The video.
        segments: What it was translated to.
        path: File to write.
        model: What the page calls the model.
        wall_s: Seconds that reading and translating took.

    Raises:
        DataError: The video cannot be read.
        UserError: It is longer than five minutes, or its frame rate is unknown.
    """
    rate = translator.images_a_second(one.source.name, one.source.frame_rate())
    video = _Video(translator, one, rate)
    sentences = [
        ReportedSentence(
            segment.start_s,
            segment.end_s,
            segment.moments[0],
            segment.translation,
            explain(translator.trained, video.part(segment), segment.translation),
        )
        for segment in segments
    ]
    seconds = len(video.frames) / rate
    facts = [
        ("Model", model),
        ("Video", f"{seconds:.1f} s at {rate:g} frames a second"),
        ("Read and translated in", f"{wall_s:.2f} s ({seconds / wall_s:.1f} times real time)"),
    ]
    write_report(
        path,
        sentences,
        video.frames,
        video.flow(),
        times=video.times,
        title=Path(one.source.name).name,
        rate=rate,
        facts=facts,
    )
    print(f"wrote {printable(str(path))}: {len(sentences)} sentences")


class _Video:
    """Frames of a video, as small as the page shows them, and the network's images of them."""

    def __init__(self, translator: Translator, one: Input, rate: float) -> None:
        self.frames: list[np.ndarray] = []
        self.times: list[float] = []
        self._source = translator.resampled(one.source)
        self._most = round(_LONGEST * rate)
        config = translator.trained.recipe.input
        self._is_flow = config.input == "flow"
        device = next(translator.trained.network.parameters()).device
        images = timed_images(self._shown(), config, flow_device(config, device) or "cpu")
        self._images = torch.stack([each.image for each in images])

    def _shown(self) -> Iterator[tuple[float, np.ndarray]]:
        before, small = np.empty(0), np.empty(0)
        for time, frame in self._source.timed_frames():
            if len(self.frames) == self._most:
                found = f"found a video of more than {_LONGEST} seconds"
                raise UserError(f"report: {found}; expected a part of it (--start, --end)")
            small = small if frame is before else fitted(frame, HEIGHT)
            before = frame
            self.frames.append(small)
            self.times.append(time)
            yield time, frame

    def part(self, segment: Segment) -> PackedClips:
        """Returns the images of a segment, as they were translated."""
        first, end = segment.moments
        images = self._images[first:end].clone()
        if self._is_flow:
            images[0] = self._images[0]  # zero flow
        return PackedClips(
            (Clip(self._source.name, self._source),), images, torch.tensor([len(images)])
        )

    def flow(self) -> list[np.ndarray]:
        """Returns the images as pictures, uint8 [H, W, 3]."""
        pictures = (self._images.float().movedim(1, -1) * 255).round().byte()
        return list(pictures.cpu().numpy())
