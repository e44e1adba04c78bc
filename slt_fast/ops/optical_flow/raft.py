"""The flow by torchvision's RAFT (Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for
Optical Flow", ECCV 2020): the backend "raft".

The weights are torchvision's or a file's. Caches and checkpoints record their checksum, because
paths differ between machines. torchvision is imported at the first call: operators need only torch.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from slt_fast.files import check_file
from slt_fast.state_dict import StateDict, check_state_dict, download_state_dict, read_state_dict

if TYPE_CHECKING:
    from torchvision.models.optical_flow import RAFT

# Environment variable: a file of weights to use instead of torchvision's.
WEIGHTS_VARIABLE = "SLT_FAST_RAFT_WEIGHTS"
FLOW_UPDATES = 12
# The network works at an eighth of the resolution and halves that three times.
_MULTIPLE, _MINIMUM_SIDE = 8, 128
# Memory for the correlations of a chunk of pairs: each pixel at an eighth of the resolution is
# compared with each.
_CORRELATION_BYTES = 256 * 2**20
_PAIRS_AT_ONCE = 16

_running = threading.Lock()  # the network keeps its correlations in itself


def raft_flow(frames: torch.Tensor, preset: str) -> torch.Tensor:
    """Computes the flow on the device of the frames. The clip around a pair only changes rounding.

    Args:
        frames: [T, H, W] grey or [T, H, W, 3] RGB, uint8, T >= 2.
        preset: Name of the network, "raft_small" or "raft_large".

    Returns:
        [T-1, 2, H, W] float32, (u, v) in pixels.

    Raises:
        UserError: The weights cannot be read or downloaded, or do not fit the network.
    """
    T, H, W = frames.shape[:3]
    left, right, top, bottom = padding = (*_padding(W), *_padding(H))
    correlations = ((H + top + bottom) * (W + left + right) // _MULTIPLE**2) ** 2
    num_pairs = max(1, min(_PAIRS_AT_ONCE, _CORRELATION_BYTES // (4 * correlations)))
    flow = torch.empty(T - 1, 2, H, W, device=frames.device)
    with _running, _exact_convolutions(frames.device), torch.no_grad():
        network = _network(preset, os.environ.get(WEIGHTS_VARIABLE, ""), frames.device)
        for start in range(0, T - 1, num_pairs):
            images = _images(frames[start : start + num_pairs + 1], padding)
            padded = network(images[:-1], images[1:], num_flow_updates=FLOW_UPDATES)[-1]
            flow[start : start + len(padded)] = padded[..., top : top + H, left : left + W]
        network.corr_block.corr_pyramid = []  # frees the last chunk's memory
    return flow


def raft_parameters(preset: str) -> dict[str, str | int]:
    """Returns what identifies the flow, for flow_parameters.

    Raises:
        UserError: The weights cannot be read or downloaded, or do not fit the network.
    """
    import torchvision

    _, checksum = _weights(preset, os.environ.get(WEIGHTS_VARIABLE, ""))
    version = torchvision.__version__.partition("+")[0]  # without the build's suffix
    return {"version": version, "flow_updates": FLOW_UPDATES, "weights_sha256": checksum}


def _padding(side: int) -> tuple[int, int]:
    """Returns the pixels to add before and after a side so that the network accepts it."""
    padded = max(-(-side // _MULTIPLE) * _MULTIPLE, _MINIMUM_SIDE)
    before = (padded - side) // 2
    return before, padded - side - before


def _images(frames: torch.Tensor, padding: tuple[int, int, int, int]) -> torch.Tensor:
    """Converts frames to the network's input: [T, 3, H, W] in [-1, 1], padded by the border."""
    coloured = frames if frames.ndim == 4 else frames.unsqueeze(-1).expand(-1, -1, -1, 3)
    images = coloured.movedim(-1, 1).float().div(127.5).sub(1)
    return functional.pad(images, padding, mode="replicate")


@contextlib.contextmanager
def _exact_convolutions(device: torch.device) -> Iterator[None]:
    """Makes the flow deterministic and exact for any precision of the caller's own network."""
    cudnn: Any = torch.backends.cudnn  # an object that mypy takes for a module
    operations = (cudnn.conv, torch.backends.cuda.matmul)
    before = cudnn.deterministic, [operation.fp32_precision for operation in operations]
    cudnn.deterministic = True
    try:
        for operation in operations:
            operation.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        cudnn.deterministic = before[0]
        for operation, precision in zip(operations, before[1], strict=True):
            operation.fp32_precision = precision


@functools.lru_cache(maxsize=2)
def _network(preset: str, path: str, device: torch.device) -> RAFT:
    state, _ = _weights(preset, path)
    network = _empty_network(preset)
    network.load_state_dict(state, assign=True)
    return network.float().to(device).eval()


def _empty_network(preset: str) -> RAFT:
    """Builds a network without memory: random weights would advance the training's generator."""
    from torchvision.models import optical_flow

    with torch.device("meta"):
        return getattr(optical_flow, preset)()


@functools.lru_cache(maxsize=2)
def _weights(preset: str, path: str) -> tuple[StateDict, str]:
    """Reads the weights and their SHA-256. An empty path means torchvision's own."""
    state = _file_weights(Path(path), preset) if path else _torchvision_weights(preset)
    source = path or f"torchvision's weights of {preset}"
    network = _empty_network(preset).state_dict()
    check_state_dict(state, network, source=source, expected=f"those of {preset}")
    return state, _checksum(state)


def _torchvision_weights(preset: str) -> StateDict:
    from torchvision.models import get_model_weights

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    advice = (
        f"Fetch the file on another machine and put it into {folder}, or name its path in "
        f"{WEIGHTS_VARIABLE} in the environment"
    )
    return download_state_dict(get_model_weights(preset).DEFAULT, "optical_flow", advice)


def _file_weights(path: Path, preset: str) -> StateDict:
    expected = f"a state dict of torchvision's {preset}"
    check_file(path, f"{expected} in {WEIGHTS_VARIABLE}")
    return read_state_dict(path, expected)


def _checksum(state: StateDict) -> str:
    """Computes the SHA-256 of the values, the same for any file format and order."""
    digest = hashlib.sha256()
    for name in sorted(state):
        values = state[name]
        digest.update(f"{name} {values.dtype} {[*values.shape]}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
