"""The optimiser's state as named tensors, so that a resumed run equals an unbroken one."""

import re

import torch

from slt_fast.errors import UserError
from slt_fast.state_dict import check_weight

_MOMENTS = ("exp_avg", "exp_avg_sq")


def pack_state(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Returns the state of an optimiser that consists of tensors."""
    tensors: dict[str, torch.Tensor] = {}
    for number, values in optimizer.state_dict()["state"].items():
        for name, tensor in values.items():
            tensors[f"optimizer.{number}.{name}"] = tensor
    return tensors


def restore_state(
    optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], steps: int
) -> None:
    """Restores what `pack_state` returned for the same parameters in the same order.

    Args:
        optimizer: The optimiser.
        tensors: Its state after so many steps; earlier versions added random states.
        steps: The steps.

    Raises:
        UserError: There is no state, or one of other parameters.
    """
    if steps and not any(key.startswith("optimizer.") for key in tensors):
        raise UserError(f"training state: found none after {steps} steps; expected the optimiser's")
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        if part := re.fullmatch(r"optimizer\.([0-9]{1,9})\.(\w+)", key):
            state.setdefault(int(part[1]), {})[part[2]] = tensor
        elif key not in ("random.cpu", "random.cuda"):
            raise UserError(f"training state: found {key!r}; expected the state of a run")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, values in state.items():
        parameter = parameters[number] if number < len(parameters) else None
        _check_values(number, values, parameter)
        # Fused Adam ignores strides: moments need the memory layout of their weights.
        for name in _MOMENTS:
            values[name] = torch.empty_like(parameters[number]).copy_(values[name])
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _check_values(
    number: int, values: dict[str, torch.Tensor], parameter: torch.Tensor | None
) -> None:
    """Raises UserError if values are not Adam's state of this parameter."""
    shape = None if parameter is None else tuple(parameter.shape)
    expected = {"exp_avg": shape, "exp_avg_sq": shape, "step": ()}
    found = {name: tuple(tensor.shape) for name, tensor in values.items()}
    for name in sorted(expected.keys() | found.keys()):
        pair = found.get(name), expected.get(name)
        if pair[0] != pair[1] or None in pair:
            message = f"found {pair[0]}; expected {pair[1]} as {name}"
            raise UserError(f"optimiser state {number}: {message}")
    for name, tensor in values.items():
        check_weight(name, tensor, torch.float32, f"optimiser state {number}")
