"""The front door: translates videos with a trained model."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from slt_fast.checkpoint import TrainedModel, load_model
from slt_fast.data.clip import Clip
from slt_fast.data.frame_source import FrameRate, Rate
from slt_fast.data.input import flow_device
from slt_fast.data.resampling import fitting_rate, timed_moments
from slt_fast.data.timed_images import TimedImage, timed_images
from slt_fast.data.video.source import VideoSource
from slt_fast.device import choose_device
from slt_fast.errors import UserError, warn_once
from slt_fast.inference.pauses import PauseConfig
from slt_fast.inference.streaming import (
    Partial,
    Segment,
    Sentence,
    cut_at_pauses,
    or_data_error,
    translate_sentences,
    whole_clip,
)
from slt_fast.inference.translate import (
    Translation,
    check_has_images,
    trained_rate,
    translate_glosses,
)
from slt_fast.pretrained import SHIPPED, SHIPPED_KNOWS, Dtype, fetch_pretrained, save_pretrained
from slt_fast.settings import check_value

# How a video is cut: not at all, at its pauses, or at pauses if it is too long for one sentence.
Sentences = Literal["auto", "one", "pauses"]
_STREAM_PART = 0.2  # seconds of a stream whose images are made at once

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoTranslation(Translation):
    """What the network says of a video, and its frames per second before resampling.

    None stands for those of a frame folder whose rate was not given.
    """

    frame_rate: float | None


class Translator:
    """Translates videos with a trained model, or glosses with one that takes them.

        translator = Translator.load("runs/quickstart")
        print(translator("clip.mp4").text)

    Without a checkpoint, the model that comes with slt_fast translates.

    Args:
        trained: The model, in evaluation mode; its device computes.
        fps: Frames per second that frames are resampled to, or "native" to keep all; None takes
            the rate of the training data.
    """

    def __init__(self, trained: TrainedModel, *, fps: FrameRate | None = None) -> None:
        self.trained, self.fps = trained, trained_rate(trained, fps)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path | None = None,
        *,
        device: str = "auto",
        fps: FrameRate | None = None,
    ) -> Translator:
        """Loads a model.

        Args:
            checkpoint: Folder of a checkpoint, or of a run (its best checkpoint). None takes the
                model that comes with slt_fast, and a warning says what that knows.
            device: "auto" (the GPU if there is one), "cpu", "cuda" or "cuda:N".
            fps: As for Translator.

        Raises:
            DataError: The checkpoint is missing or broken.
            UserError: The device is unknown or cannot be used here, or fps is no rate.
        """
        chosen = choose_device(device)
        if checkpoint is None:
            checkpoint = SHIPPED
            warn_once(f"checkpoint: none given, so the model in slt_fast is used. {SHIPPED_KNOWS}")
        trained = load_model(Path(checkpoint))
        trained.network.to(chosen)
        return cls(trained, fps=fps)

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | Path, *, device: str = "auto", fps: FrameRate | None = None
    ) -> Translator:
        """Loads a model by its folder, or by its name on the Hugging Face Hub.

        Args:
            name_or_folder: Folder as for load; if there is none, the name of a model on the Hub,
                "USER/MODEL", which is downloaded once. No code of it is run.
            device: As for load.
            fps: As for Translator.

        Raises:
            DataError, UserError: As for load; or huggingface_hub is missing, or cannot download.
        """
        return cls.load(fetch_pretrained(name_or_folder), device=device, fps=fps)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        dtype: Dtype = "float32",
        scores: Mapping[str, Any] | None = None,
        note: str = "",
        license: str = "",
    ) -> None:
        """Writes the model with a card, as a folder that can be put on the Hugging Face Hub.

        It holds what inference needs: no state of the optimiser, no path of this machine.

        Args:
            folder: A new or empty folder, whose name the card has.
            dtype: Of the weights in the file; they compute in float32.
            scores: Scores for the card, with the keys of metrics.json.
            note: A paragraph for the card: how the scores were measured, say.
            license: Licence of the weights for the card, as the Hub abbreviates it: "mit".

        Raises:
            DataError: The folder holds something.
            UserError: A weight is not finite in that dtype, or scores has none of the test split.
            OSError: The folder cannot be written.
        """
        save_pretrained(
            Path(folder), self.trained, dtype=dtype, scores=scores, note=note, license=license
        )

    def search_with(
        self, *, beam_size: int | None = None, length_penalty: float | None = None
    ) -> None:
        """Searches in another way from now on.

        Args:
            beam_size: Beams of the search; None leaves it as it is, at first the recipe's.
            length_penalty: Length penalty of the search; None leaves it as it is.

        Raises:
            UserError: The beams are not 1 to 100, or the length penalty not -5 to 30.
        """
        recipe = self.trained.recipe
        options = {"beam_size": beam_size, "length_penalty": length_penalty}
        recipe = replace(recipe, search=recipe.search.with_options(**options))
        self.trained = replace(self.trained, recipe=recipe)

    @property
    def knows_glosses(self) -> bool:
        """True if the model was trained with glosses, so that it can recognise some."""
        return self.trained.recognises_glosses

    @property
    def takes_glosses(self) -> bool:
        """True if the model translates glosses instead of video."""
        return not self.trained.recipe.input.has_images

    def translate_glosses(self, glosses: str) -> Translation:
        """Translates glosses with a model that takes them instead of video.

        Args:
            glosses: Glosses in signing order, separated by spaces, spelled as in the training data;
                a warning names those that it does not have.

        Raises:
            UserError: There is no gloss, or the model takes video.
        """
        return translate_glosses(self.trained, glosses.split())

    def __call__(
        self,
        video: str | os.PathLike[str],
        *,
        start: int | None = None,
        end: int | None = None,
        folder_fps: float | None = None,
    ) -> VideoTranslation:
        """Translates a video, or a part of it.

        Args:
            video: Video file that FFmpeg decodes, or folder of frames.
            start: First frame, from 0; None means 0.
            end: Frame after the last one; None means the end of the video.
            folder_fps: Frames per second of a folder; None takes those that frames are resampled
                to. A video has timestamps instead.

        Raises:
            DataError: The video cannot be read, or its frames are too small for optical flow.
            TypeError: The video is no path.
            UserError: The video has more frames than the device's memory holds, folder_fps is no
                rate, or the model takes glosses.
        """
        source = self._source(video, start, end, folder_fps)
        (segment,) = self.segments(source, sentences="one")
        said, rate = segment.translation, source.frame_rate()
        return VideoTranslation(said.text, said.glosses, rate, candidates=said.candidates)

    def segments(
        self,
        video: str | os.PathLike[str] | VideoSource,
        *,
        start: int | None = None,
        end: int | None = None,
        folder_fps: float | None = None,
        sentences: Sentences = "auto",
        pauses: PauseConfig | None = None,
    ) -> Iterator[Segment]:
        """Translates a video sentence by sentence; memory does not grow with its length.

            for segment in translator.segments("talk.mp4"):
                print(segment.start_s, segment.end_s, segment.translation.text)

        Args:
            video: As for calls; or a VideoSource, which has the next three already.
            start: As for calls.
            end: As for calls.
            folder_fps: As for calls.
            sentences: "one" takes the video as one sentence, and warns if it is longer than
                `pauses` allows; "pauses" cuts it at pauses; "auto" cuts those that are longer.
            pauses: What a pause is, and the longest sentence; None is PauseConfig().

        Yields:
            The sentences in the order of time, which do not overlap; all are final.

        Raises:
            DataError, TypeError, UserError: As for calls. Also if a folder of frames, or a video,
                of unknown rate shall be cut.
        """
        check_value("sentences", Sentences, sentences)
        if not isinstance(video, VideoSource):
            video = self._source(video, start, end, folder_fps)
        source, pauses = self.resampled(video), pauses or PauseConfig()
        device, config = self._check_images(source.name), self.trained.recipe.input
        images = or_data_error(source.name, timed_images(source.timed_frames(), config, device))
        found = self._sentences(source, images, sentences, pauses)
        yield from translate_sentences(self.trained, found, Clip(source.name, source))

    def stream(
        self,
        frames: Iterable[tuple[float, np.ndarray]],
        *,
        frame_rate: float | None = None,
        pauses: PauseConfig | None = None,
        partial: Partial | None = None,
    ) -> Iterator[Segment]:
        """Translates frames as they come, for example from a camera, until they end.

        Args:
            frames: Seconds, in their order, and frame, uint8 [H, W, 3] RGB of one size.
            frame_rate: Frames per second on average; None if unknown.
            pauses: What a pause is; None is PauseConfig().
            partial: When to yield what is known of a sentence that goes on; None for never.

        Yields:
            The sentences, as soon as their pause is recognised, and partial ones before.

        Raises:
            UserError: The frames are too small for optical flow, the model takes glosses, or the
                rate is needed and unknown.
        """
        device, config = self._check_images("stream"), self.trained.recipe.input
        rate = self.images_a_second("stream", frame_rate)
        if self.fps != "native":
            frames = timed_moments(frames, self.fps, frame_rate)
        at_once = max(1, round(_STREAM_PART * rate))
        images = timed_images(frames, config, device, at_once=at_once)
        found = cut_at_pauses(images, rate, config, pauses or PauseConfig(), partial)
        yield from translate_sentences(self.trained, found)

    def _sentences(
        self,
        source: VideoSource,
        images: Iterator[TimedImage],
        sentences: Sentences,
        pauses: PauseConfig,
    ) -> Iterator[Sentence]:
        """Yields the whole clip, or its sentences."""
        config, longest = self.trained.recipe.input, pauses.longest_sentence
        if sentences == "pauses":
            rate = self.images_a_second(source.name, source.frame_rate())
            yield from cut_at_pauses(images, rate, config, pauses)
            return
        own = source.frame_rate()
        known = self.fps if self.fps != "native" else own
        if known is None:  # a folder without times
            yield whole_clip(images, None)
            return
        rate = fitting_rate(known, own)
        held = list(islice(images, int(longest * rate) + 1))
        is_long = len(held) > longest * rate
        if is_long and sentences == "auto":
            text = "%s: longer than %g seconds, so it is cut at pauses; or use --sentences one"
            logger.info(text, source.name, longest)
            yield from cut_at_pauses(chain(held, images), rate, config, pauses)
            return
        whole = whole_clip(chain(held, images), rate)
        if is_long:
            text = "%s: found %.0f seconds, taken as one sentence; --sentences pauses cuts them"
            logger.warning(text, source.name, len(whole.images) / rate)
        yield whole

    def _source(
        self,
        video: str | os.PathLike[str],
        start: int | None,
        end: int | None,
        folder_fps: float | None,
    ) -> VideoSource:
        """Returns the part of a video; raises as calls do."""
        if not isinstance(video, str | os.PathLike):
            expected = "the path of a video or of a folder of frames (str or Path)"
            raise TypeError(f"video: found {type(video).__qualname__}; expected {expected}")
        check_value("folder_fps", Rate | None, folder_fps)
        return VideoSource(Path(video), start, end, folder_fps)

    def resampled(self, source: VideoSource) -> VideoSource:
        """Returns a video at the frame rate that the model works at."""
        if source.path.is_dir() and source.fps is None and self.fps != "native":
            logger.info("%s: taken to have %g frames a second", source.path, self.fps)
        return source if self.fps == "native" else source.at_rate(self.fps)

    def _check_images(self, name: str) -> torch.device | str:
        """Returns the device that makes images; raises UserError if the model takes none."""
        check_has_images(self.trained, name)
        device = next(self.trained.network.parameters()).device
        return flow_device(self.trained.recipe.input, device) or "cpu"

    def images_a_second(self, name: str, own: float | None) -> float:
        """Returns the images a second; raises UserError if that is unknown."""
        if self.fps != "native":
            return fitting_rate(self.fps, own)
        if own is None:
            expected = "--fps, or --folder-fps for a folder, to find pauses"
            raise UserError(f"{name}: found no frame rate; expected {expected}")
        return own
