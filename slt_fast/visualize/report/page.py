"""Fills the page of a translation."""

from __future__ import annotations

import base64
import html
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np
import torch

from slt_fast.errors import UserError
from slt_fast.files import replacing
from slt_fast.inference.explaining import Explanation
from slt_fast.inference.translate import Translation
from slt_fast.visualize.drawing import fitted, resized
from slt_fast.visualize.files import write_video

HEIGHT = 240  # of the video in the page, in pixels
_NUM_STILLS = 8  # of each sentence


@dataclass(frozen=True)
class ReportedSentence:
    """A sentence of the video.

    Args:
        start_s: Seconds at which it starts.
        end_s: Seconds at which it ends.
        first: Number of the first frame that the network saw, of those of the report.
        translation: What the network says of it.
        explanation: What the network saw; its T frames are those from `first` on.
    """

    start_s: float
    end_s: float
    first: int
    translation: Translation
    explanation: Explanation


def write_report(
    path: Path,
    sentences: Sequence[ReportedSentence],
    frames: Sequence[np.ndarray],
    flow: Sequence[np.ndarray],
    *,
    times: Sequence[float],
    title: str,
    rate: float,
    facts: Sequence[tuple[str, str]] = (),
) -> None:
    """Writes a page that shows a video with its translation and what the model saw.

    Everything is inside the page, which needs no network. It grows by some kilobytes a frame.

    Args:
        path: File to write; *.html.
        sentences: The sentences, in the order of time.
        frames: The frames of the video, uint8 [H, W, 3] RGB, all of one size; one or more.
        flow: What the network is given for each frame, uint8 [h, w, 3].
        times: Seconds of each frame, which the page says.
        title: Title of the page.
        rate: Frames a second that the page shows.
        facts: Lines for the head of the page: name and value.

    Raises:
        OSError: The file cannot be written.
        UserError: The suffix of the file is not .html, or there is no frame.
    """
    if path.suffix.lower() != ".html":
        raise UserError(f"{path}: found suffix {path.suffix!r}; expected .html")
    if not frames:
        raise UserError(f"{path}: found no frame to show; expected at least one")
    left = [fitted(frame, HEIGHT) for frame in frames]
    shown = [_beside(*pair) for pair in zip(left, flow, strict=True)]
    data = {
        "video": _data_uri("video/mp4", _encoded(shown, rate)),
        "frameShare": left[0].shape[1] / (shown[0].shape[1] + shown[0].shape[1] % 2),
        "rate": rate,
        "times": [round(time, 4) for time in times],
        "facts": list(facts),
        "sentences": [_sentence(each, shown, times) for each in sentences],
    }
    parts = {name: _part(f"page.{kind}") for name, kind in (("style", "css"), ("script", "js"))}
    # "<" would end the script element in a text that says so.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    page = Template(_part("page.html")).substitute(parts, title=html.escape(title), data=text)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _sentence(
    one: ReportedSentence, shown: Sequence[np.ndarray], times: Sequence[float]
) -> dict[str, Any]:
    said, saw = one.translation, one.explanation
    num_frames = saw.gloss_probabilities.shape[1]
    probabilities = map(_rounded, saw.gloss_probabilities)
    chosen = np.linspace(0, num_frames - 1, min(_NUM_STILLS, num_frames)).round().astype(int)
    return {
        "start": one.start_s,
        "end": one.end_s,
        "first": one.first,
        "text": said.text,
        "words": saw.words,
        "candidates": [list(each) for each in said.candidates],
        "glossLine": " ".join(said.glosses),
        "glosses": [
            {"name": name, "probabilities": values}
            for name, values in zip(saw.glosses, probabilities, strict=True)
        ],
        "attention": _attention(saw),
        "stills": [
            {"seconds": times[number], "picture": _still(shown[number])}
            for number in (one.first + chosen).tolist()
        ],
    }


def _attention(saw: Explanation) -> dict[str, Any] | None:
    if saw.attention is None:
        return None
    positions = saw.attention.positions
    return {
        "height": positions.shape[1],
        "width": positions.shape[2],
        "positions": [_rounded(each) for each in positions.flatten(1)],
        "frames": [_rounded(each) for each in saw.attention.frames],
        "notes": saw.attention.describe(),
    }


def _rounded(values: torch.Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]


def _beside(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    return np.concatenate([frame, resized(flow, (height, width))], axis=1)


def _still(picture: np.ndarray) -> str:
    return _data_uri("image/webp", cv2.imencode(".webp", picture[..., ::-1])[1].tobytes())


def _encoded(pictures: Sequence[np.ndarray], rate: float) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "video.mp4")
        write_video(path, pictures, fps=rate)
        return path.read_bytes()


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _part(name: str) -> str:
    return files("slt_fast.visualize.report").joinpath(name).read_text(encoding="utf-8")
