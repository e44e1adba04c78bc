"""Which backend computes the flow."""

import functools
import logging

import torch

from slt_fast.errors import UserError
from slt_fast.ops.backend import constant_in_graphs
from slt_fast.ops.extension import EXTENSION, REFUSAL, cuda_refusal
from slt_fast.ops.optical_flow.opencv import opencv_refusal
from slt_fast.ops.optical_flow.presets import DISVR_PRESETS, OPENCV_PRESETS, PRESETS, RAFT_PRESETS

# The presets that each backend can run.
BACKENDS: dict[str, tuple[str, ...]] = {
    "auto": PRESETS,
    "cpu": tuple(DISVR_PRESETS),
    "cuda": tuple(DISVR_PRESETS),
    "opencv": (*DISVR_PRESETS, *OPENCV_PRESETS),
    "raft": RAFT_PRESETS,
    "reference": tuple(DISVR_PRESETS),
}

# These compute on the device of the frames, including GPUs.
GPU_BACKENDS = ("cuda", "raft", "reference")


def choose_flow_backend(
    backend: str = "auto", preset: str = "default", device: torch.device | str | None = None
) -> tuple[str, str]:
    """Chooses what computes the flow.

    Args:
        backend: "auto", or the backend that must run.
        preset: As for optical_flow.
        device: Device of the frames; None means the CPU.

    Returns:
        The backend's name, and the reason for the choice.

    Raises:
        UserError: The preset or backend is unknown or cannot run; says why.
    """
    _check_names(backend, preset)
    device = None if device is None else torch.device(device)
    only = _only_backend(preset)
    if backend != "auto" or only:
        chosen = only or backend
        if refusal := _refusal(chosen, device):
            raise UserError(f"optical_flow: backend {chosen!r} cannot run: {refusal}")
        return chosen, "asked for"
    choice = _automatic_choice(device)
    if not torch.compiler.is_compiling():  # a log line would break the graph
        _log_choice(*choice)
    return choice


def _check_names(backend: str, preset: str) -> None:
    if backend not in BACKENDS:
        raise UserError(
            f"optical_flow: found backend {backend!r}; expected one of {list(BACKENDS)}"
        )
    if preset not in PRESETS:
        raise UserError(f"optical_flow: found preset {preset!r}; expected one of {list(PRESETS)}")
    if preset not in BACKENDS[backend]:
        raise UserError(
            f"optical_flow: found preset {preset!r} with backend {backend!r}; expected one of "
            f"{list(BACKENDS[backend])}, or backend {_only_backend(preset) or 'auto'!r}"
        )


def _only_backend(preset: str) -> str | None:
    if preset in RAFT_PRESETS:
        return "raft"
    return "opencv" if preset in OPENCV_PRESETS else None


# A graph cannot hold calls of the extension whose answers are no tensors.
@constant_in_graphs
def _refusal(backend: str, device: torch.device | None) -> str | None:
    """Returns why a backend cannot run and what to use instead; None if it can."""
    # Those of the same flow, as far as they are here.
    refusal, others = None, "'auto' or 'cpu'" if EXTENSION else "'reference' (slow)"
    if backend == "cpu" and EXTENSION is None:
        refusal = REFUSAL
    elif backend == "cuda":
        refusal = cuda_refusal(device)
    elif backend == "opencv":
        refusal, others = opencv_refusal(), "one of our presets with 'auto'"
    return f"{refusal}; use {others}" if refusal else None


@constant_in_graphs
def _automatic_choice(device: torch.device | None) -> tuple[str, str]:
    if EXTENSION is None and opencv_refusal() is None:
        return "opencv", REFUSAL
    if EXTENSION is None:
        return "reference", f"slow; {opencv_refusal()}; {REFUSAL}"
    if device is None or device.type != "cuda":
        return "cpu", f"the extension, {torch.ops.slt_fast.cpu_instruction_set()} code"
    refusal = cuda_refusal(device)
    if refusal:
        return "cpu", f"the extension; no kernels on a GPU: {refusal}"
    return "cuda", "the extension's kernels, as the frames are on a GPU"


@functools.cache
def _log_choice(backend: str, reason: str) -> None:
    logging.getLogger(__name__).info("optical_flow: backend %s (%s)", backend, reason)
