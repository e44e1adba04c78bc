"""Translates an uploaded video, and says what a client sees while that goes on."""

from __future__ import annotations

import base64
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from slt_fast.data.clip import Clip
from slt_fast.data.resampling import timed_moments
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import printable
from slt_fast.inference.pauses import PauseConfig
from slt_fast.inference.streaming import Partial, Segment, cut_at_pauses, translate_sentences
from slt_fast.inference.translator import Translator
from slt_fast.serving.decoding import decoding
from slt_fast.serving.limits import Limits
from slt_fast.visualize.drawing import resized
from slt_fast.visualize.report import Recording

Event = dict[str, Any]
_PREVIEW_S = 0.25  # seconds of video between two pictures that a client sees
_PARTIAL_S = 0.5  # and between two guesses at the sentence that goes on
_AT_ONCE = 5  # frames whose images are made at once, so that pictures arrive steadily


class Left(Exception):
    """The client has left."""


def events(
    translator: Translator, path: Path, name: str, limits: Limits, left: threading.Event
) -> Generator[Event, None, None]:
    """Translates a video; yields pictures, guesses, sentences and at last the page of all.

    Args:
        translator: The model.
        path: The file.
        name: What the client calls it.
        limits: Limits of the video.
        left: Set when the client has left.

    Yields:
        {"event": "picture", "seconds", "frame", "flow"}, {"event": "partial" or "sentence",
        "start", "end", "text", "glosses", "candidates"}, and {"event": "done", "seconds",
        "wall_seconds", "report"}. Pictures are data URIs, the report is HTML.

    Raises:
        DataError, UserError: The file cannot be read, or is beyond the limits.
        Left: The client has left.
    """
    started = time.perf_counter()
    with decoding(path, name, limits) as video:
        rate = translator.images_a_second(name, video.frame_rate)
        frames = video.frames
        if translator.fps != "native":
            frames = timed_moments(frames, translator.fps, video.frame_rate)
        recording = Recording(
            translator.trained,
            Clip(name, VideoSource(path)),
            rate=rate,
            longest_s=limits.max_seconds + 1,
        )
        seen: list[Event] = []
        images = _watched(recording, recording.images(frames, at_once=_AT_ONCE), seen, left)
        config, partial = translator.trained.recipe.input, Partial(_PARTIAL_S)
        sentences = cut_at_pauses(images, rate, config, PauseConfig(), partial)
        segments: list[Segment] = []
        for segment in translate_sentences(translator.trained, sentences):
            yield from _taken(seen)
            if segment.is_final:
                segments.append(segment)
            yield _said(segment)
        yield from _taken(seen)
    wall = time.perf_counter() - started
    seconds = len(recording.frames) / rate
    facts = [("Translated in", f"{wall:.1f} s"), ("Video", f"{seconds:.1f} s")]
    yield {
        "event": "done",
        "seconds": seconds,
        "wall_seconds": wall,
        "report": _page(recording, segments, printable(name), facts),
    }


def _watched(
    recording: Recording, images: Iterator[Any], seen: list[Event], left: threading.Event
) -> Iterator[Any]:
    """Passes images on; makes pictures of some, and stops when the client has left."""
    step = max(1, round(_PREVIEW_S * recording.rate))
    for number, image in enumerate(images):
        if left.is_set():
            raise Left
        if number % step == 0:
            frame = recording.frames[number]
            flow = resized(recording.flow(number), frame.shape[:2])
            picture = {"frame": _uri(frame), "flow": _uri(flow)}
            seen.append({"event": "picture", "seconds": image.seconds, **picture})
        yield image


def _taken(seen: list[Event]) -> list[Event]:
    taken = seen.copy()
    seen.clear()
    return taken


def _said(segment: Segment) -> Event:
    said = segment.translation
    return {
        "event": "sentence" if segment.is_final else "partial",
        "start": segment.start_s,
        "end": segment.end_s,
        "text": said.text,
        "glosses": list(said.glosses),
        "candidates": [list(each) for each in said.candidates],
    }


def _uri(picture: np.ndarray) -> str:
    encoded = cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 75])[1].tobytes()
    return f"data:image/webp;base64,{base64.b64encode(encoded).decode('ascii')}"


def _page(
    recording: Recording, segments: list[Segment], title: str, facts: list[tuple[str, str]]
) -> str:
    if not recording.frames:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "page.html")
        recording.write(path, segments, title=title, facts=facts)
        return path.read_text(encoding="utf-8")
