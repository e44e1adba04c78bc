"""Which backend an operator runs on, and why."""

from __future__ import annotations

import torch

BACKENDS = ("auto", "reference", "triton")


def choose_backend(operator: str, backend: str, x: torch.Tensor) -> tuple[str, str]:
    """Chooses what computes an operator.

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
    reason = "asked for" if backend == "reference" else "the only backend of this version"
    return "reference", reason
