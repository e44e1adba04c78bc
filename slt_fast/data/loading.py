"""Reads clips, and makes images of what was read; or takes their glosses, and reads nothing.

Images are float16 as soon as they are made, so that `--preload` and workers do not change them.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from functools import partial

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from slt_fast.data.clip import AnnotatedClip, Clip, TooShortError, check_ctc_length
from slt_fast.data.flow_images import Frames, encode_flow
from slt_fast.data.frame_source import FrameSource, join
from slt_fast.data.glosses import Glosses, glosses_of
from slt_fast.data.input import InputConfig, image_parts
from slt_fast.data.other_rates import OtherRates
from slt_fast.data.parts import in_parts
from slt_fast.data.resampling import distinct
from slt_fast.errors import DataError, ErrorHandler, Result, handle, result_or_error
from slt_fast.workers import in_processes

Arrays = tuple[np.ndarray, ...]


class ClipDataset(Dataset[Frames | Glosses | torch.Tensor]):
    """Reads clips by number; raises the error of a clip that cannot be read.

    If glosses are the input, no video is read, and the glosses of a clip count as its frames.

    Args:
        clips: The clips.
        preloaded: Images of the clips as `preload` made them; None reads from the disk.
        config: Settings of the input, whose images are made as the frames are read; None leaves
            that to a GPU, and holds the frames of a whole clip.
        other_rates: Cameras of other frame rates that film some clips of each epoch.
        preloaded_others: By camera, images of the clips as `preload` made them.
        num_frames: Frames of each clip; None counts them when they are asked for.
    """

    def __init__(
        self,
        clips: Sequence[AnnotatedClip],
        preloaded: Sequence[torch.Tensor] | None = None,
        config: InputConfig | None = None,
        other_rates: OtherRates | None = None,
        preloaded_others: Sequence[Sequence[torch.Tensor]] = (),
        num_frames: Sequence[int] | None = None,
    ) -> None:
        self.clips, self.preloaded, self.config = clips, preloaded, config
        self._num_frames = num_frames
        self.other_rates, self.preloaded_others = other_rates, preloaded_others

    def __len__(self) -> int:
        return len(self.clips)

    def num_frames(self, on_error: ErrorHandler | None = None) -> Sequence[int]:
        """Counts the frames of each clip.

        Args:
            on_error: Called with each clip that cannot be read, which counts as 0; None raises it.

        Raises:
            DataError: A clip cannot be read, or is too short for its glosses.
        """
        if self._num_frames is None and self.preloaded:
            self._num_frames = [len(images) for images in self.preloaded]
        if self._num_frames is None:
            counts = [count_frames(clip, self.config) for clip in self.clips]
            good = keep_good(self.clips, counts, on_error)[1]
            if len(good) < len(counts):
                return [0 if isinstance(count, DataError) else count for count in counts]
            self._num_frames = good
        return self._num_frames

    @property
    def has_images(self) -> bool:
        """Whether images are the input, and not glosses."""
        return self.config is None or self.config.has_images

    def __getitem__(self, index: int) -> Frames | Glosses | torch.Tensor:
        """Returns glosses or images, or without a config frames or flow as read_clip does."""
        if not self.has_images:
            return glosses_of(self.clips[index])
        if self.preloaded:
            return self.preloaded[index]
        return _read_annotated(self.clips[index], self.config)

    def in_epoch(self, epoch: int, index: int) -> Frames | Glosses | torch.Tensor:
        """Returns a clip as it is read in an epoch: as it is, or filmed at another frame rate."""
        number = self.other_rates.choose(epoch, index) if self.other_rates else None
        if self.other_rates is None or number is None:
            return self[index]
        if self.preloaded:
            return self.preloaded_others[number][index]
        filmed = self.other_rates.filmed(self.clips[index], index, number)
        try:
            return _read_annotated(filmed, self.config)
        except TooShortError:
            return self[index]

    def without_other_rates(self) -> "ClipDataset":
        """Returns the same clips as they are in each epoch."""
        if self.other_rates is None:
            return self
        return ClipDataset(self.clips, self.preloaded, self.config, num_frames=self._num_frames)

    def num_workers(self, wanted: int) -> int:
        """Returns the number of useful worker processes: none if the input is in memory."""
        return 0 if self.preloaded or not self.has_images else wanted


def read_clip(clip: Clip) -> Frames | torch.Tensor:
    """Reads frames, uint8 [n, H, W, 3] RGB, or cached flow, float16 [T, 2, size, size].

    Raises:
        DataError: The frames or the flow cannot be used.
        OSError: A file cannot be read.
    """
    return read_frames(clip.source) if clip.cached_flow is None else clip.cached_flow.read()


def read_frames(source: FrameSource) -> Frames:
    """Reads all frames of a source; raises as read_clip."""
    # OpenCV's own threads deadlock after a fork and compete with the workers for the cores.
    cv2.setNumThreads(0)
    steps: list[int] = []

    def frames() -> Iterator[np.ndarray]:
        for frame, step in distinct(source.frames()):
            steps.append(step)
            yield frame[None]

    joined = torch.from_numpy(join(frames()))
    return Frames(joined, torch.tensor(steps, dtype=torch.long))


def tensors_of(read: Frames | torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Returns the tensors that hold what read_clip returned."""
    return (read.distinct, read.steps) if isinstance(read, Frames) else (read,)


def to_arrays(read: Frames | torch.Tensor) -> Arrays:
    """Returns what read_clip returned as arrays, to be sent to another process.

    Arrays go through a pipe; a tensor would stay in shared memory, of which there is little.
    """
    return tuple(tensor.numpy() for tensor in tensors_of(read))


def from_arrays(arrays: Arrays) -> Frames | torch.Tensor:
    """Returns what to_arrays was given."""
    tensors = [torch.from_numpy(array) for array in arrays]
    return Frames(*tensors) if len(tensors) == 2 else tensors[0]


def make_images(
    read: Frames | torch.Tensor, config: InputConfig, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Makes images of what read_clip returned; images stay as they are.

    Returns:
        float16 [T, 3, image_size, image_size] in [0, 1], on the device, which also computes.

    Raises:
        UserError: The frames are too small for optical flow.
        ValueError: `read` has another type or shape.
    """
    read = read.to(device)
    if isinstance(read, Frames):
        return torch.cat(list(image_parts([read], config))).half()
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
    """Reads a clip and makes its images part by part; raises as read_clip and make_images do.

    Memory holds the small images and a part of the frames, however long the clip is. A progress bar
    appears after two seconds, but not in worker processes and log files.
    """
    if clip.cached_flow is not None:
        return make_images(clip.cached_flow.read(), config, device)
    parts = image_parts(frame_parts(clip.source, device), config)
    return torch.from_numpy(join(images.half().cpu().numpy() for images in parts))


def frame_parts(source: FrameSource, device: torch.device | str = "cpu") -> Iterator[Frames]:
    """Reads frames in parts, uint8 [n, H, W, 3] on the device, with a progress bar as load_images.

    Raises:
        DataError: The frames cannot be used.
        OSError: A file cannot be read.
    """
    cv2.setNumThreads(0)  # as in read_frames
    is_worker = multiprocessing.parent_process() is not None
    disable = is_worker or None  # None: unless standard error is a terminal
    bar = tqdm(desc="reading", unit="frame", leave=False, delay=2, disable=disable)
    if not bar.disable:  # the estimate may read the whole file
        bar.total = source.estimated_frames()

    def frames() -> Iterator[np.ndarray]:
        for frame in source.frames():
            bar.update()
            yield frame

    with bar:
        yield from in_parts(frames(), device)


def count_frames(clip: AnnotatedClip, config: InputConfig | None = None) -> int | DataError:
    """Counts the frames of a clip, if possible without decoding them; or returns its error.

    Args:
        clip: The clip.
        config: Settings of the input; if it is glosses, these are counted instead.
    """

    def num_frames() -> int:
        if config is not None and not config.has_images:
            return len(glosses_of(clip))
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
    found = (each if isinstance(each, DataError) else from_arrays(each) for each in arrays)
    made = (
        images_or_error(clip, read, config, device or "cpu")
        for clip, read in zip(clips, found, strict=True)
    )
    return [images if isinstance(images, DataError) else images.cpu() for images in made]


def images_or_error(
    clip: AnnotatedClip,
    read: Frames | torch.Tensor | DataError,
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


def _read_annotated(clip: AnnotatedClip, config: InputConfig | None) -> Frames | torch.Tensor:
    read = load_images(clip, config) if config else read_clip(clip)
    check_ctc_length(clip, len(read))
    return read


def _read_or_images(clip: AnnotatedClip, config: InputConfig | None) -> Arrays | DataError:
    """Reads a clip and, given a config, makes its images; or returns its error."""
    return result_or_error(clip.source.name, lambda: to_arrays(_read_annotated(clip, config)))
