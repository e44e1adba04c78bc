"""Optimiser and random states as named tensors, so that a resumed run equals an unbroken one."""

import torch

from slt_fast.errors import UserError


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
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        kind, *rest = key.split(".")
        if kind == "optimizer":
            state.setdefault(int(rest[0]), {})[rest[1]] = tensor
    if "random.cpu" not in tensors:
        raise UserError("training state: found no 'random.cpu'; expected the states of a run")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, values in state.items():
        expected = tuple(parameters[number].shape) if number < len(parameters) else None
        found = tuple(values["exp_avg"].shape) if "exp_avg" in values else None
        if found != expected:
            raise UserError(f"optimiser state {number}: found {found}; expected {expected}")
        # Fused Adam ignores strides: moments need the memory layout of their weights.
        for name in ("exp_avg", "exp_avg_sq"):
            values[name] = torch.empty_like(parameters[number]).copy_(values[name])
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
