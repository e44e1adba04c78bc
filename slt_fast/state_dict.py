"""State dicts of networks: read without running code, then checked by name and shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch

from slt_fast.errors import DataError, UserError

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

StateDict = dict[str, torch.Tensor]

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_READING_ERRORS = (UnpicklingError, RuntimeError, OSError, EOFError, ValueError)


def read_state_dict(path: Path, expected: str) -> StateDict:
    """Reads a state dict to the CPU. Never runs code from the file.

    Args:
        path: A .safetensors file, or any other name for a file of torch.save.
        expected: What errors say was expected: "a state dict of ResNet18".

    Returns:
        The tensors by name.

    Raises:
        DataError: The file is missing, damaged or holds something else.
    """
    try:
        state = _read(path)
    except UnpicklingError as error:
        raise DataError(path, "no file of tensors alone", expected) from error
    except Exception as error:  # torch's unpickler raises anything on a damaged file
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(path, reason, expected) from error
    if not isinstance(state, dict):
        raise DataError(path, f"a {type(state).__name__}", expected)
    for name, value in state.items():
        if not isinstance(name, str):
            raise DataError(path, f"a tensor named by the {type(name).__name__} {name!r}", expected)
        if not isinstance(value, torch.Tensor):
            raise DataError(path, f"{type(value).__name__} {name!r}", expected)
    return state


def download_state_dict(weights: WeightsEnum, place: str, advice: str) -> StateDict:
    """Downloads torchvision's weights, or reads them from torch's cache.

    Args:
        weights: Weights of a torchvision network.
        place: Option or operator that the error names.
        advice: What to do without a network, as a sentence.

    Raises:
        UserError: The weights cannot be downloaded or have another checksum.
    """
    try:
        return weights.get_state_dict(progress=True, check_hash=True)
    except _READING_ERRORS as error:
        raise UserError(
            f"{place}: could not download {weights.url} ({error}); expected a network. {advice}"
        ) from error


def check_state_dict(
    state: Mapping[str, torch.Tensor],
    network: Mapping[str, torch.Tensor],
    *,
    source: str | Path,
    expected: str,
) -> None:
    """Raises DataError if tensors do not fit a network by name, shape and kind, or are not finite.

    Args:
        state: Tensors to load.
        network: State dict of the network that will load them.
        source: File or origin of `state`, for the error.
        expected: What the error says was expected of the names: "ResNet18's tensors".
    """
    for name in sorted(state.keys() ^ network.keys()):
        found = "no" if name in network else "an unknown"
        raise DataError(source, f"{found} tensor {name!r}", expected)
    for name, tensor in state.items():
        if tensor.shape != network[name].shape:
            shapes = [*tensor.shape], [*network[name].shape]
            raise DataError(source, f"{name} of {shapes[0]}", f"{shapes[1]}")
        check_weight(name, tensor, network[name].dtype, source)


def check_weight(name: str, tensor: torch.Tensor, dtype: torch.dtype, source: str | Path) -> None:
    """Raises DataError if a tensor is of another kind than this dtype, or a value is not finite."""
    is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    kinds = _FLOATS if dtype.is_floating_point else _INTEGERS
    if not is_plain or tensor.dtype not in kinds:
        layout = "" if is_plain else f"{tensor.layout} on {tensor.device}, "
        raise DataError(source, f"{name} of {layout}{tensor.dtype}", f"{dtype}")
    if not tensor.to(dtype).isfinite().all():
        raise DataError(source, f"NaN or infinity in {name}", "finite weights")


def _read(path: Path) -> object:
    if path.suffix != ".safetensors":
        return torch.load(path, map_location="cpu", weights_only=True)
    # Imported here because the operators alone do not need safetensors.
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
