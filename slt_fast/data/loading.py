"""From clips to images: read, and computed where they were read or on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np
import torch

from slt_fast.data.clip import Clip, check_ctc_length
from slt_fast.data.flow_images import encode_flow
from slt_fast.data.input import InputConfig, clip_images
from slt_fast.errors import DataError, ErrorHandler, Result, handle, result_or_error
from slt_fast.workers import in_processes


def read_clip(clip: Clip, config: InputConfig) -> torch.Tensor | DataError:
    """What is to be read of a clip, or what is wrong with it, to be raised or listed.

    Args:
        clip: The clip; its flow is read where it is cached, and its frames elsewhere.
        config: What its images are.

    Returns:
        Frames, uint8 [T, H, W, 3] RGB; or images of cached flow, float16 [T, 3, H, W].
    """
    # OpenCV's own threads deadlock after a fork and only fight over the cores with the workers.
    cv2.setNumThreads(0)

    def read() -> torch.Tensor:
        if clip.cached_flow is None:
            frames = clip.source.read()
            check_ctc_length(clip, len(frames))
            return torch.from_numpy(np.ascontiguousarray(frames))
        flow = clip.cached_flow.read()
        check_ctc_length(clip, len(flow))
        return encode_flow(flow, encoder=config.flow_encoder, bound=config.flow_bound).half()

    return result_or_error(clip.source.name, read)


def make_images(
    clip: Clip,
    read: torch.Tensor | DataError,
    config: InputConfig,
    device: torch.device | str = "cpu",
) -> torch.Tensor | DataError:
    """Images of a clip, float16 [T, 3, H, W], or what is wrong with it.

    Args:
        clip: The clip.
        read: What read_clip gave.
        config: What its images are.
        device: Where frames become images; other images stay where they are.
    """
    if isinstance(read, DataError) or read.dtype != torch.uint8:
        return read
    return result_or_error(
        clip.source.name, lambda: clip_images(read.numpy(), config, device=device).half()
    )


def load_images(clip: Clip, config: InputConfig) -> torch.Tensor | DataError:
    """Images of a clip, float16 [T, 3, H, W]; or what is wrong with it, to be raised or listed.

    Args:
        clip: The clip; its flow is read where it is cached, and computed elsewhere.
        config: What its images are.
    """
    return make_images(clip, read_clip(clip, config), config)


def count_frames(clip: Clip) -> int | DataError:
    """Frames of a clip, found without decoding them where that can be; or what is wrong with it."""

    def num_frames() -> int:
        cached = clip.cached_flow
        found = clip.source.num_frames() if cached is None else cached.num_frames
        check_ctc_length(clip, found)
        return found

    return result_or_error(clip.source.name, num_frames)


def preload(
    clips: Sequence[Clip],
    config: InputConfig,
    *,
    num_workers: int,
    label: str,
    device: torch.device | None = None,
) -> list[torch.Tensor | DataError]:
    """Computes the images of all clips, with a progress bar; they are kept on the CPU.

    Args:
        clips: The clips.
        config: What their images are.
        num_workers: Processes that read clips; 0 reads here.
        label: Name on the progress bar.
        device: Where frames become images, as flow_device tells; None is where they are read.
    """
    work = partial(read_clip if device else load_images, config=config)
    found = in_processes(work, clips, num_workers=num_workers, label=label)
    if device is None:
        return list(found)
    made = (
        make_images(clip, read, config, device) for clip, read in zip(clips, found, strict=True)
    )
    return [images if isinstance(images, DataError) else images.cpu() for images in made]


def keep_good(
    clips: Sequence[Clip],
    loaded: Sequence[Result | DataError],
    on_error: ErrorHandler | None,
) -> tuple[list[Clip], list[Result]]:
    """The clips that could be read, and what was read of them.

    Args:
        clips: The clips.
        loaded: What `preload` or `count_frames` gave for them.
        on_error: Called with each error; None raises the first.
    """
    good_clips, good = [], []
    for clip, result in zip(clips, loaded, strict=True):
        if isinstance(result, DataError):
            handle(result, on_error)
        else:
            good_clips.append(clip)
            good.append(result)
    return good_clips, good
