"""Remembers what computes a call, so that calls alike are neither checked nor chosen for again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from slt_fast.ops.layouts import layouts_of

MAX_CALLS = 1024  # remembered by each operator

Compute = Callable[..., torch.Tensor]

# Other types may be changed later (arrays, tensors) or compare equal to one of these.
_SETTINGS = frozenset({type(None), bool, int, float, str})


class Calls:
    """The calls of an operator.

    Args:
        prepare: (tensors, settings) -> the function of the tensors that computes the call. It may
            depend on shapes, strides, types and devices, on the settings and on autocast, not on
            values; it raises an error for a call that cannot be computed.
    """

    def __init__(self, prepare: Callable[..., Compute]) -> None:
        self._prepare = prepare
        self._known: dict[tuple, Compute] = {}
        _all_calls.append(self)

    def run(self, tensors: Sequence[torch.Tensor | None], *settings: Any) -> torch.Tensor:
        """Computes a call with these tensors, None for an absent one, and settings."""
        if torch.compiler.is_compiling():
            return self._prepare(tensors, *settings)(*tensors)
        key = _key(tensors, settings)
        if key is None:
            return self._prepare(tensors, *settings)(*tensors)
        compute = self._known.get(key)
        if compute is None:
            compute = self._prepare(tensors, *settings)
            self._remember(key, compute)
        return compute(*tensors)

    def _remember(self, key: tuple, compute: Compute) -> None:
        if len(self._known) >= MAX_CALLS:
            self.forget()
        self._known[key] = compute

    def forget(self) -> None:
        """Forgets all calls."""
        self._known.clear()


_all_calls: list[Calls] = []


def forget_calls() -> None:
    """Forgets the calls of all operators."""
    for calls in _all_calls:
        calls.forget()


def _key(tensors: Sequence[Any], settings: tuple) -> tuple | None:
    """Returns what a call is known by, or None if it has to be checked each time."""
    types = tuple(map(type, settings))
    if not _SETTINGS.issuperset(types):
        return None
    try:
        layouts = layouts_of(tensors)
    except (AttributeError, TypeError, RuntimeError):  # no tensor, or a sparse or nested one
        return None
    device = tensors[0].device.type
    autocast = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
    return layouts, settings, types, autocast
