"""The front door: translates videos with a trained model."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slt_fast.checkpoint import TrainedModel, load_model
from slt_fast.data.frame_source import FrameRate, Rate, with_rate
from slt_fast.data.video.source import VideoSource
from slt_fast.device import choose_device
from slt_fast.errors import warn_once
from slt_fast.inference.translate import (
    Translation,
    trained_rate,
    translate_glosses,
    translate_source,
)
from slt_fast.pretrained import SHIPPED, SHIPPED_KNOWS, Dtype, fetch_pretrained, save_pretrained
from slt_fast.settings import check_value

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
        if not isinstance(video, str | os.PathLike):
            expected = "the path of a video or of a folder of frames (str or Path)"
            raise TypeError(f"video: found {type(video).__qualname__}; expected {expected}")
        check_value("folder_fps", Rate | None, folder_fps)
        source = VideoSource(Path(video), start, end, folder_fps)
        if source.path.is_dir() and folder_fps is None and self.fps != "native":
            logger.info("%s: taken to have %g frames a second", source.path, self.fps)
        said = translate_source(self.trained, with_rate(source, self.fps))
        rate = source.frame_rate()
        return VideoTranslation(said.text, said.glosses, rate, candidates=said.candidates)
