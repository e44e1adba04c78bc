"""Optimiser and random states as named tensors, so that a resumed run equals an unbroken one."""

import re

import torch

from slt_fast.errors import UserError
from slt_fast.state_dict import check_weight

_MOMENTS = ("exp_avg", "exp_avg_sq")


def pack_state(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Returns the random states and those of an optimiser whose state is only tensors."""
    tensors = {"random.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    for number, values in optimizer.state_dict()["state"].items():
        for name, tensor in values.items():
            tensors[f"optimizer.{number}.{name}"] = tensor
    return tensors


def restore_state(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Restores the states that `pack_state` returned for the same parameters in the same order.

    Raises:
        UserError: There are no states, or states of other parameters.
    """
    if "random.cpu" not in tensors:
        raise UserError("training state: found no 'random.cpu'; expected the states of a run")
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        if part := re.fullmatch(r"optimizer\.([0-9]{1,9})\.(\w+)", key):
            state.setdefault(int(part[1]), {})[part[2]] = tensor
        elif key not in ("random.cpu", "random.cuda"):
            raise UserError(f"training state: found {key!r}; expected the states of a run")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, values in state.items():
        parameter = parameters[number] if number < len(parameters) else None
        _check_values(number, values, parameter)
        # Fused Adam ignores strides: moments need the memory layout of their weights.
        for name in _MOMENTS:
            values[name] = torch.empty_like(parameters[number]).copy_(values[name])
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    try:
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random.cuda"])
    except (RuntimeError, TypeError) as error:  # another size, kind or content
        raise UserError(f"random state: found {error}; expected the state of a run") from error


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
