"""Dense optical flow from each frame of a clip to the next.

Our algorithm is DISVR: dense inverse search (Kroeger et al., "Fast Optical Flow using Dense Inverse
Search", ECCV 2016) with damped steps, then a variational refinement (Brox et al., ECCV 2004) at
each level, down to full resolution. Its formulas are in csrc/flow/core, and in plain PyTorch in
reference/. docs/flow.md describes it.
"""

from __future__ import annotations

from dataclasses import asdict, astuple

import torch

from slt_fast.errors import UserError, is_out_of_memory
from slt_fast.ops.backend import check_tensors
from slt_fast.ops.optical_flow.backends import choose_flow_backend
from slt_fast.ops.optical_flow.grey import rgb_to_grey
from slt_fast.ops.optical_flow.opencv import opencv_flow, opencv_parameters
from slt_fast.ops.optical_flow.presets import DISVR_PRESETS
from slt_fast.ops.optical_flow.raft import raft_flow, raft_parameters
from slt_fast.ops.optical_flow.reference import disvr_reference

# Counted up when our flow changes.
DISVR_VERSION = 1
MINIMUM_SIDE = 8
MAXIMUM_SIDE = 2**15 - 1


def optical_flow(
    frames: torch.Tensor, *, preset: str = "default", backend: str = "auto"
) -> torch.Tensor:
    """Computes the flow from each frame to the next. A pair's flow does not depend on its clip.

    Frames are copied to where the backend runs, and their flow is copied back.

    Args:
        frames: [T, H, W] grey or [T, H, W, 3] RGB, uint8, T >= 2, sides of 8 to 32767 pixels.
        preset: "fast", "default" or "best": our algorithm. "opencv_ultrafast", "opencv_fast" or
            "opencv_medium": cv2.DISOpticalFlow, on the CPU. "raft_small" or "raft_large":
            torchvision's networks. Their weights are torchvision's, or those of the file that the
            environment variable SLT_FAST_RAFT_WEIGHTS names.
        backend: "auto" takes "cuda" if the frames are on a GPU that can run it, else "cpu".
            "cpu" is the extension, "cuda" its kernels. "opencv" is cv2: it runs our presets at
            settings of its own algorithm that come close. "raft" runs the two networks.
            "reference" is our algorithm in plain PyTorch: slow, to check the others.

    Returns:
        [T-1, 2, H, W] float32, (u, v) in pixels, on the device of the frames. The result is the
        same to the bit for any number of threads; "raft" alone is the same up to rounding.
        "cuda" does not wait for the GPU. Besides the flow, at 8 bytes a pixel, it takes about 45
        bytes a pixel ("fast": 16) for as many pairs as fit into 256 MiB, or for one.

    Raises:
        UserError: Too few frames, sides out of range, or a preset or backend that cannot run.
        TypeError: The frames are not a tensor.
        ValueError: Frames of another shape, type or layout, without values (meta), or a library's
            flow that is not finite.
        MemoryError: Too little memory.
    """
    _check_frames(frames)
    try:
        return _flow(frames, preset, backend)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        found = f"found too little memory for {list(frames.shape)} frames and their flow"
        raise MemoryError(f"optical_flow: {found}; expected shorter clips") from None


def _flow(frames: torch.Tensor, preset: str, backend: str) -> torch.Tensor:
    chosen, _ = choose_flow_backend(backend, preset, frames.device)
    if chosen == "raft":
        return _checked(raft_flow(frames, preset))
    if chosen == "cuda" and not frames.is_cuda:
        return _flow(frames.cuda(), preset, backend).to(frames.device)
    grey = rgb_to_grey(frames) if frames.ndim == 4 else frames
    if chosen == "opencv":
        return _checked(opencv_flow(grey.cpu().contiguous(), preset)).to(frames.device)
    parameters = DISVR_PRESETS[preset]
    if chosen == "reference":
        return disvr_reference(grey, parameters)
    grey = grey if chosen == "cuda" else grey.cpu()
    return torch.ops.slt_fast.disvr(grey, *astuple(parameters)).to(frames.device)


def flow_parameters(preset: str = "default", backend: str = "auto") -> dict[str, str | int]:
    """Returns what identifies the flow: checkpoints and caches record it and refuse other flow.

    "cpu", "cuda" and "reference" compute the same flow up to rounding, so they share parameters.

    Args:
        preset: As for optical_flow.
        backend: As for optical_flow.

    Returns:
        The algorithm, its version, the preset and each parameter; ready for JSON.

    Raises:
        UserError: The preset or backend is unknown or cannot run.
    """
    chosen, _ = choose_flow_backend(backend, preset)
    if chosen == "raft":
        return {"algorithm": "raft", "preset": preset, **raft_parameters(preset)}
    if chosen == "opencv":
        return opencv_parameters(preset)
    settings = asdict(DISVR_PRESETS[preset])
    return {"algorithm": "disvr", "version": DISVR_VERSION, "preset": preset, **settings}


def _check_frames(frames: torch.Tensor) -> None:
    check_tensors("optical_flow", {"frames": frames})
    if frames.device.type == "meta":
        raise ValueError("optical_flow: found frames on meta; expected frames with values")
    shape = list(frames.shape)
    if frames.dtype != torch.uint8 or frames.ndim not in (3, 4) or shape[3:] not in ([], [3]):
        expected = "torch.uint8 of [T, H, W] or [T, H, W, 3]"
        raise ValueError(f"optical_flow: found {frames.dtype} of {shape}; expected {expected}")
    if shape[0] < 2:
        raise UserError(f"optical_flow: found {shape[0]} frames; expected at least 2")
    if min(shape[1:3]) < MINIMUM_SIDE or max(shape[1:3]) > MAXIMUM_SIDE:
        raise UserError(
            f"optical_flow: found frames of {shape[1]}x{shape[2]} pixels; expected sides of at "
            f"least {MINIMUM_SIDE} and at most {MAXIMUM_SIDE}"
        )


def _checked(flow: torch.Tensor) -> torch.Tensor:
    """Checks that a library's flow is finite. Syncs the GPU.

    Our own flow needs no check: all its denominators are positive, a patch that runs away returns
    to its start, and over-relaxation of a positive definite system does not diverge.
    """
    if not torch.isfinite(flow).all():
        H, W = flow.shape[2:]
        raise ValueError(f"optical_flow: found flow of {H}x{W} frames with NaN or infinity in it")
    return flow
