"""Which backend an operator runs on, and why."""

from __future__ import annotations

import functools
import logging

import torch

BACKENDS = ("auto", "reference", "triton")


def choose_backend(operator: str, backend: str, x: torch.Tensor) -> tuple[str, str]:
    """Chooses what computes an operator; what "auto" chose is logged once.

    Args:
        operator: Its name, for errors.
        backend: "auto", "reference" (plain PyTorch) or "triton".
        x: The tensor it is to work on.

    Returns:
        The backend's name, and why it was chosen.

    Raises:
        ValueError: The named backend is unknown or cannot run; says why.
    """
    if backend not in BACKENDS:
        raise ValueError(f"{operator}: found backend {backend!r}; expected one of {BACKENDS}")
    if backend == "triton":
        raise ValueError(
            f"{operator}: backend 'triton' cannot run on {x.device.type}: this version has no "
            "Triton kernels; use 'reference' or 'auto'"
        )
    if backend == "reference":
        return "reference", "asked for"
    reason = "the only backend of this version"
    if not torch.compiler.is_compiling():  # a log line would break the graph
        _log_choice(operator, "reference", reason)
    return "reference", reason


@functools.cache
def _log_choice(operator: str, backend: str, reason: str) -> None:
    logging.getLogger(__name__).info("%s: backend %s (%s)", operator, backend, reason)
