"""Remembers what computes a call, so that calls alike are neither checked nor chosen for again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from slt_fast.ops.backend import autocast_dtype
from slt_fast.ops.launching import machine_state
from slt_fast.ops.layouts import layouts_of

MAX_CALLS = 1024  # remembered by each operator

Prepared = tuple[Callable[..., torch.Tensor], tuple]

# Other types may be changed later (arrays, tensors) or compare equal to one of these.
_SETTINGS = frozenset({type(None), bool, int, float, str})


class Calls:
    """The calls of an operator.

    Args:
        prepare: (tensors, *settings) -> what computes the call: a function of the tensors and other
            settings, and these settings. They may depend on the layouts of the tensors, on the
            settings and on autocast, not on values. It raises an error for a bad call.
    """

    def __init__(self, prepare: Callable[..., Prepared]) -> None:
        self._prepare = prepare
        self._known: dict[tuple | None, Prepared] = {}
        _all_calls.append(self)

    def run(self, tensors: Sequence[torch.Tensor | None], *settings: Any) -> torch.Tensor:
        """Computes a call with these tensors, None for an absent one, and settings."""
        if torch.compiler.is_compiling():
            compute, others = self._prepare(tensors, *settings)
            return compute(*tensors, *others)
        key = _key(tensors, settings)
        try:
            prepared = self._known.get(key)
        except TypeError:  # symbolic sizes
            key = prepared = None
        if prepared is None:
            prepared = self._prepared(tensors, *settings)
            if key is not None:
                self._remember(key, prepared)
        compute, others = prepared
        return compute(*tensors, *others)

    def _prepared(self, tensors: Sequence[torch.Tensor | None], *settings: Any) -> Prepared:
        compute, others = self._prepare(tensors, *settings)
        if any(tensor is not None and tensor.is_neg() for tensor in tensors):
            compute = partial(_with_values, compute)
        return compute, others

    def _remember(self, key: tuple, prepared: Prepared) -> None:
        if len(self._known) >= MAX_CALLS:
            self.forget()
        self._known[key] = prepared

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
        device = tensors[0].device
    except (AttributeError, RuntimeError):  # no tensor, or a sparse or nested one
        return None
    return layouts, settings, types, autocast_dtype(device), machine_state()


def _with_values(compute: Callable[..., torch.Tensor], *arguments: Any) -> torch.Tensor:
    """Computes a call of tensors of which some are negated lazily, which kernels do not see."""
    return compute(
        *(each.resolve_neg() if isinstance(each, torch.Tensor) else each for each in arguments)
    )
