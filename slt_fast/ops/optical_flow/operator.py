"""Dense optical flow from each frame of a clip to the next.

Our algorithm is DISVR: dense inverse search (Kroeger et al., "Fast Optical Flow using Dense Inverse
Search", ECCV 2016) with damped steps, then a variational refinement (Brox et al., ECCV 2004) at
each level, down to full resolution. Its formulas stand in csrc/flow/core, and in plain PyTorch in
reference/.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import asdict, astuple

import torch

from slt_fast.ops.extension import EXTENSION, cuda_refusal
from slt_fast.ops.optical_flow.grey import rgb_to_grey
from slt_fast.ops.optical_flow.opencv import opencv_flow
from slt_fast.ops.optical_flow.presets import (
    DISVR_PRESETS,
    OPENCV_COUNTERPARTS,
    OPENCV_PRESETS,
    PRESETS,
    RAFT_PRESETS,
)
from slt_fast.ops.optical_flow.raft import raft_flow, raft_parameters
from slt_fast.ops.optical_flow.reference import disvr_reference

BACKENDS = ("auto", "cpu", "cuda", "opencv", "raft", "reference")
# Of our own code; counted up when the flow that it computes changes.
DISVR_VERSION = 1
OPENCV_DIS_VERSION = 1
MINIMUM_SIDE = 8
MAXIMUM_SIDE = 2**15 - 1

# They compute where the frames are, on a GPU too.
GPU_BACKENDS = ("cuda", "raft", "reference")


def optical_flow(
    frames: torch.Tensor, *, preset: str = "default", backend: str = "auto"
) -> torch.Tensor:
    """Computes the flow from each frame to the next; each pair alone, whatever the clip around it.

    Args:
        frames: [T, H, W] grey or [T, H, W, 3] RGB, uint8, T >= 2, sides of 8 to 32767 pixels.
            Frames that are not where the backend runs are copied there, and their flow back.
        preset: "fast", "default" or "best"; "opencv_ultrafast", "opencv_fast" or "opencv_medium"
            give what cv2 computes under these names, on the CPU; "raft_small" or "raft_large" are
            torchvision's networks, with its weights or those of the file SLT_FAST_RAFT_WEIGHTS in
            the environment.
        backend: "auto" (for our presets "cuda" where frames are on a GPU that can run it, else
            "cpu"), "cpu" (the extension), "cuda" (its kernels), "opencv" (the library itself, which
            with our presets runs its own algorithm at settings that come close), "raft", or
            "reference" (our presets in plain PyTorch: slow, to check the others).

    Returns:
        [T-1, 2, H, W] float32, (u, v) in pixels, on the device of the frames; the same to the bit
        for any number of threads, but by "raft" up to rounding. "cuda" does not wait for the GPU,
        and beside the flow's 8 bytes a pixel takes about 45 ("fast": 16) for as many pairs as fit
        into 256 MiB, or for one.

    Raises:
        ValueError: Frames of another shape, type or size, or a preset or backend that cannot run.
    """
    chosen, _ = choose_flow_backend(backend, preset, frames.device)
    _check_frames(frames)
    if chosen == "raft":
        return _checked(raft_flow(frames, preset))
    parameters = _parameters(preset, chosen)
    if chosen == "cuda" and not frames.is_cuda:
        return optical_flow(frames.cuda(), preset=preset, backend=backend).to(frames.device)
    grey = rgb_to_grey(frames) if frames.ndim == 4 else frames
    if chosen == "reference":
        return disvr_reference(grey, parameters)
    if chosen == "cuda":
        return torch.ops.slt_fast.disvr(grey, *astuple(parameters))
    grey = grey.cpu().contiguous()
    if chosen == "opencv":
        flow = _checked(opencv_flow(grey, preset, parameters))
    elif preset in OPENCV_PRESETS:
        flow = torch.ops.slt_fast.opencv_dis(grey, *astuple(parameters))
    else:
        flow = torch.ops.slt_fast.disvr(grey, *astuple(parameters))
    return flow.to(frames.device)


def flow_parameters(preset: str = "default", backend: str = "auto") -> dict[str, str | int]:
    """Tells what flow is computed; checkpoints and caches record it, to refuse any other.

    "cpu" and "cuda" compute the same up to rounding, and are not told apart.

    Args:
        preset: As for optical_flow.
        backend: As for optical_flow.

    Returns:
        The algorithm, its version, the preset and each parameter; ready for JSON.

    Raises:
        ValueError: A preset or backend that cannot run.
    """
    chosen, _ = choose_flow_backend(backend, preset)
    if chosen == "raft":
        return {"algorithm": "raft", "preset": preset, **raft_parameters(preset)}
    parameters = asdict(_parameters(preset, chosen))
    if chosen == "opencv":
        import cv2

        algorithm = {"algorithm": "opencv_dis", "version": cv2.__version__}
    elif preset in OPENCV_PRESETS:
        algorithm = {"algorithm": "slt_fast_opencv_dis", "version": OPENCV_DIS_VERSION}
    else:
        algorithm = {"algorithm": "disvr", "version": DISVR_VERSION}
    return {**algorithm, "preset": preset, **parameters}


def choose_flow_backend(
    backend: str = "auto", preset: str = "default", device: torch.device | None = None
) -> tuple[str, str]:
    """Chooses what computes the flow.

    Args:
        backend: "auto", or the name of one that must run.
        preset: As for optical_flow.
        device: Where the frames are; None is the CPU.

    Returns:
        The backend's name, and why it was chosen.

    Raises:
        ValueError: The preset or named backend is unknown or cannot run; says why.
    """
    if backend not in BACKENDS:
        found = f"found backend {backend!r}; expected one of {list(BACKENDS)}"
        raise ValueError(f"optical_flow: {found}")
    _check_preset(preset, backend)
    if preset in RAFT_PRESETS:
        backend = "raft"
    refusal = None
    if backend == "cpu" and EXTENSION is None:
        refusal = "the extension is not built; `make setup` builds it"
    if backend == "cuda":
        refusal = cuda_refusal(device)
    if refusal:
        raise ValueError(
            f"optical_flow: backend {backend!r} cannot run: {refusal}; use 'auto' or 'opencv'"
        )
    if backend != "auto":
        return backend, "asked for"
    is_on_gpu = device is not None and device.type == "cuda" and preset in DISVR_PRESETS
    if EXTENSION is None:
        choice = "opencv", "the extension is not built"
    elif is_on_gpu and cuda_refusal(device) is None:
        choice = "cuda", "the extension's kernels, as the frames are on a GPU"
    elif is_on_gpu:
        choice = "cpu", f"the extension; no kernels on a GPU: {cuda_refusal(device)}"
    else:
        choice = "cpu", f"the extension, {torch.ops.slt_fast.cpu_instruction_set()} code"
    _log_choice(*choice)
    return choice


def _check_preset(preset: str, backend: str) -> None:
    if preset not in PRESETS:
        raise ValueError(f"optical_flow: found preset {preset!r}; expected one of {list(PRESETS)}")
    if backend != "auto" and (backend == "raft") != (preset in RAFT_PRESETS):
        others = [name for name in PRESETS if name not in RAFT_PRESETS]
        expected = list(RAFT_PRESETS) if backend == "raft" else others
        found = f"found preset {preset!r} with backend {backend!r}; expected one of {expected}"
        raise ValueError(f"optical_flow: {found}")


def _parameters(preset: str, backend: str):
    if preset in OPENCV_PRESETS:
        if backend in ("reference", "cuda"):
            raise ValueError(
                f"optical_flow: found preset {preset!r} with backend {backend!r}; expected one of "
                f"{list(DISVR_PRESETS)}"
            )
        return OPENCV_PRESETS[preset]
    return (OPENCV_COUNTERPARTS if backend == "opencv" else DISVR_PRESETS)[preset]


def _check_frames(frames: torch.Tensor) -> None:
    shape = list(frames.shape)
    if frames.dtype != torch.uint8:
        raise ValueError(f"optical_flow: found frames of {frames.dtype}; expected torch.uint8")
    if frames.ndim not in (3, 4) or (frames.ndim == 4 and shape[3] != 3):
        raise ValueError(
            f"optical_flow: found frames of shape {shape}; expected [T, H, W] or [T, H, W, 3]"
        )
    if shape[0] < 2:
        raise ValueError(f"optical_flow: found {shape[0]} frames; expected at least 2")
    if min(shape[1:3]) < MINIMUM_SIDE or max(shape[1:3]) > MAXIMUM_SIDE:
        raise ValueError(
            f"optical_flow: found frames of {shape[1]}x{shape[2]} pixels; expected sides of at "
            f"least {MINIMUM_SIDE} and at most {MAXIMUM_SIDE}"
        )


def _checked(flow: torch.Tensor) -> torch.Tensor:
    """Flow by code that is not ours, told finite; syncs the GPU.

    Ours cannot give anything else: all denominators are positive, a patch that runs away goes back
    to where it began, and over-relaxation of a positive definite system does not diverge.
    """
    if not torch.isfinite(flow).all():
        H, W = flow.shape[2:]
        raise ValueError(f"optical_flow: found flow of {H}x{W} frames with NaN or infinity in it")
    return flow


@functools.cache
def _log_choice(backend: str, reason: str) -> None:
    logging.getLogger(__name__).info("optical_flow: backend %s (%s)", backend, reason)
