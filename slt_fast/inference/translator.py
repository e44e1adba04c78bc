"""The front door: translates videos with a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slt_fast.checkpoint import TrainedModel, load_model
from slt_fast.data.video.source import VideoSource
from slt_fast.data.vocabulary import GLOSS_SPECIALS
from slt_fast.device import choose_device
from slt_fast.inference.translate import Translation, translate_source


@dataclass(frozen=True)
class VideoTranslation(Translation):
    """What the network says of a video, and its frames per second; None for a frame folder."""

    frame_rate: float | None


class Translator:
    """Translates videos with a trained model.

        translator = Translator.load("runs/quickstart")
        print(translator("clip.mp4").text)

    Args:
        trained: The model, in evaluation mode; its device computes.
    """

    def __init__(self, trained: TrainedModel) -> None:
        self.trained = trained

    @classmethod
    def load(cls, checkpoint: str | Path, *, device: str = "auto") -> Translator:
        """Loads a model.

        Args:
            checkpoint: Folder of a checkpoint, or of a run (its best checkpoint).
            device: "auto" (the GPU if there is one), "cpu", "cuda" or "cuda:N".

        Raises:
            DataError: The checkpoint is missing or broken.
            UserError: The device is unknown or cannot be used here.
        """
        chosen = choose_device(device)
        trained = load_model(Path(checkpoint))
        trained.network.to(chosen)
        return cls(trained)

    @property
    def knows_glosses(self) -> bool:
        """True if the model was trained with glosses, so that it can recognise some."""
        return len(self.trained.vocabularies.gloss) > len(GLOSS_SPECIALS)

    def __call__(
        self, video: str | Path, *, start: int | None = None, end: int | None = None
    ) -> VideoTranslation:
        """Translates a video, or a part of it.

        Args:
            video: Video file of any container that OpenCV opens, or folder of frames.
            start: First frame, from 0; None means 0.
            end: Frame after the last one; None means the end of the video.

        Raises:
            DataError: The video cannot be read, or its frames are too small for optical flow.
            UserError: The video has more frames than the device's memory holds.
        """
        source = VideoSource(Path(video), start, end)
        said = translate_source(self.trained, source)
        return VideoTranslation(said.text, said.glosses, source.frame_rate())
