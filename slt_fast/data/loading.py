"""Reads clips, and makes images of what was read.

Images are float16 as soon as they are made, so that `--preload` and workers do not change them.
"""

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from slt_fast.data.clip import AnnotatedClip, Clip, check_ctc_length
from slt_fast.data.flow_images import encode_flow
from slt_fast.data.input import InputConfig, clip_images
from slt_fast.errors import DataError, ErrorHandler, Result, handle, result_or_error
from slt_fast.workers import in_processes


class ClipDataset(Dataset[torch.Tensor]):
    """Reads clips by number; raises the error of a clip that cannot be read.

    Args:
        clips: The clips.
        preloaded: Images of the clips as `preload` made them; None reads from the disk.
    """

    def __init__(
        self, clips: Sequence[AnnotatedClip], preloaded: Sequence[torch.Tensor] | None = None
    ) -> None:
        self.clips, self.preloaded = clips, preloaded

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Returns frames or flow as read_clip does, or the preloaded images."""
        if self.preloaded:
            return self.preloaded[index]
        return _read_annotated(self.clips[index])

    def num_workers(self, wanted: int) -> int:
        """Returns the number of useful worker processes: none if the images are in memory."""
        return 0 if self.preloaded else wanted


def read_clip(clip: Clip) -> torch.Tensor:
    """Reads frames, uint8 [T, H, W, 3] RGB, or cached flow, float16 [T, 2, size, size].

    Raises:
        DataError: The frames or the flow cannot be used.
        OSError: A file cannot be read.
    """
    # OpenCV's own threads deadlock after a fork and compete with the workers for the cores.
    cv2.setNumThreads(0)
    if clip.cached_flow is not None:
        return clip.cached_flow.read()
    return torch.from_numpy(np.ascontiguousarray(clip.source.read()))


def make_images(
    read: torch.Tensor, config: InputConfig, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Makes images of what read_clip returned; images stay as they are.

    Returns:
        float16 [T, 3, image_size, image_size] in [0, 1], on the device, which also computes.

    Raises:
        UserError: The frames are too small for optical flow.
        ValueError: `read` has another type or shape.
    """
    read = read.to(device)
    if read.dtype == torch.uint8:
        return clip_images(read, config).half()
    if read.dtype != torch.float16 or read.ndim != 4 or read.shape[1] not in (2, 3):
        found = f"{read.dtype} of {list(read.shape)}"
        raise ValueError(f"make_images: found {found}; expected torch.float16 of [T, 2 or 3, H, W]")
    if read.shape[1] == 2:
        encoder, bound = config.flow_encoder, config.flow_bound
        return encode_flow(read.float(), encoder=encoder, bound=bound).half()
    return read


def load_images(
    clip: Clip, config: InputConfig, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Reads a clip and makes its images; raises as read_clip and make_images do."""
    return make_images(read_clip(clip), config, device)


def count_frames(clip: AnnotatedClip) -> int | DataError:
    """Counts the frames of a clip, if possible without decoding them; or returns its error."""

    def num_frames() -> int:
        cached = clip.cached_flow
        found = clip.source.num_frames() if cached is None else cached.num_frames
        check_ctc_length(clip, found)
        return found

    return result_or_error(clip.source.name, num_frames)


def preload(
    clips: Sequence[AnnotatedClip],
    config: InputConfig,
    *,
    num_workers: int,
    label: str,
    device: torch.device | None = None,
) -> list[torch.Tensor | DataError]:
    """Makes the images of each clip, or its error, in the CPU's memory, with a progress bar.

    Args:
        clips: The clips.
        config: Settings of the images.
        num_workers: Number of processes that read clips; 0 reads in this one.
        label: Name on the progress bar.
        device: GPU that makes the images, from flow_device; None makes them in the workers.
    """
    work = partial(_read_or_images, config=None if device else config)
    arrays = in_processes(work, clips, num_workers=num_workers, label=label)
    found = (array if isinstance(array, DataError) else torch.from_numpy(array) for array in arrays)
    if device is None:
        return list(found)
    made = (
        images_or_error(clip, read, config, device) for clip, read in zip(clips, found, strict=True)
    )
    return [images if isinstance(images, DataError) else images.cpu() for images in made]


def images_or_error(
    clip: AnnotatedClip,
    read: torch.Tensor | DataError,
    config: InputConfig,
    device: torch.device | str,
) -> torch.Tensor | DataError:
    """Makes the images of a clip, unless reading it failed already."""
    if isinstance(read, DataError):
        return read
    return result_or_error(clip.source.name, lambda: make_images(read, config, device))


def keep_good(
    clips: Sequence[AnnotatedClip],
    found: Sequence[Result | DataError],
    on_error: ErrorHandler | None,
) -> tuple[list[AnnotatedClip], list[Result]]:
    """Keeps the clips without an error, and what `preload` or `count_frames` found of them."""
    good_clips, good = [], []
    for clip, result in zip(clips, found, strict=True):
        if isinstance(result, DataError):
            handle(result, on_error)
        else:
            good_clips.append(clip)
            good.append(result)
    return good_clips, good


def _read_annotated(clip: AnnotatedClip) -> torch.Tensor:
    read = read_clip(clip)
    check_ctc_length(clip, len(read))
    return read


def _read_or_images(clip: AnnotatedClip, config: InputConfig | None) -> np.ndarray | DataError:
    """Reads a clip and, given a config, makes its images; or returns its error.

    An array goes through a pipe; a tensor would stay in shared memory, of which there is little.
    """
    read = result_or_error(clip.source.name, lambda: _read_annotated(clip))
    made = images_or_error(clip, read, config, "cpu") if config else read
    return made if isinstance(made, DataError) else made.numpy()
