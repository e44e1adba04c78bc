"""Replays the launches of a plan without what Triton does for each: binding, types, cache key.

A replay is a generated function. It allocates the memory of the plan and hands each compiled kernel
the arguments that Triton itself would: constants, and addresses of the tensors and their views.
Triton compiled the kernels for addresses divisible by 16, which is checked in each call.

`CompiledKernel.run`, `.function` and `.packed_metadata` are no public interface of Triton. They are
alike in KNOWN_VERSIONS; with any other version every launch goes through Triton.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from slt_fast.ops.steps import Blocks, Call, Launch, Operand, Steps, View

KNOWN_VERSIONS = ("3.6", "3.7", "3.8")
_ALIGNMENT = 16  # bytes; Triton compiles a kernel for addresses that it divides, or for any

# Takes the arguments of a call; returns the plan's memory by name, or None for an odd address.
Replay = Callable[..., "dict[str, torch.Tensor] | None"]


def write_replay(plan: Steps, names: list[str], tensors: dict[str, Any], started: list) -> Any:
    """Writes the replay of a plan that has just run.

    Args:
        plan: The plan.
        names: Parameters of the replay: the names of the call's arguments in their order.
        tensors: The tensors of the run, by name.
        started: What each step returned: what Triton compiled, or nothing.

    Returns:
        The replay, or None where Triton has to start the kernels itself: in the interpreter, with
        an unknown version, or if an address was odd and so the kernels were compiled for any.
    """
    steps = list(zip(plan.steps, started, strict=True))
    kernels = [kernel for step, kernel in steps if not isinstance(step, Call)]
    if not (kernels and is_known_triton() and all(map(_is_compiled, kernels))):
        return None
    writer = _Writer(plan, names)
    if any(tensors[name].data_ptr() % _ALIGNMENT for name in writer.pointers):
        return None
    for step, kernel in steps:
        if isinstance(step, Call):
            writer.add_call(step)
        else:
            writer.add_launch(step, kernel)
    return writer.function()


@functools.cache
def is_known_triton() -> bool:
    """Returns whether kernels of the installed Triton can be started directly."""
    import triton

    return triton.__version__.startswith(tuple(f"{version}." for version in KNOWN_VERSIONS))


def has_hooks() -> bool:
    """Returns whether someone, such as a profiler, asked Triton for a call at each launch."""
    runtime = _runtime_settings()
    enter, leave = runtime.launch_enter_hook, runtime.launch_exit_hook
    inspects = getattr(runtime, "add_stages_inspection_hook", None)
    return bool(getattr(enter, "calls", enter) or getattr(leave, "calls", leave) or inspects)


@functools.cache
def _runtime_settings() -> Any:
    import triton

    return triton.knobs.runtime


def _is_compiled(kernel: Any) -> bool:
    return all(hasattr(kernel, name) for name in ("run", "function", "packed_metadata"))


class _Writer:
    """Collects the lines of a replay and the values that they name."""

    def __init__(self, plan: Steps, names: list[str]) -> None:
        import triton

        self._plan, self._names = plan, names
        used = {operand.tensor for launch in plan.launches for operand in launch.operands.values()}
        given = (*names, *plan.constants, *plan.memory)
        self.pointers = [name for name in given if name in used]
        self._values: dict[str, Any] = {
            "empty_strided": torch.empty_strided,
            "current_stream": triton.runtime.driver.active.get_current_stream,
            **plan.constants,
        }
        self._steps: list[str] = []

    def add_call(self, call: Call) -> None:
        """Adds a call of torch."""
        views = ", ".join(map(self._view, call.views))
        self._steps.append(f"{self._value(call.function)}({views})")

    def add_launch(self, launch: Launch, kernel: Any) -> None:
        """Adds the launch of a compiled kernel."""
        start = [self._value(value) for value in (kernel.run, kernel.function)]
        metadata = self._value(kernel.packed_metadata)
        run = f"{start[0]}({launch.num_programs}, 1, 1, stream, {start[1]}, {metadata}, "
        self._steps.append(f"{run}None, None, None, {self._arguments(launch)})")

    def function(self) -> Replay:
        """Returns the replay."""
        memory = [f"    {name} = {self._allocation(name)}" for name in self._plan.memory]
        pointers = [f"    {name}_at = {name}.data_ptr()" for name in self.pointers]
        addresses = " | ".join(f"{name}_at" for name in self.pointers)
        index = self._plan.device.index or 0
        results = ", ".join(f"{name!r}: {name}" for name in self._plan.memory)
        lines = [
            f"def replay({', '.join(self._names)}):",
            *memory,
            *pointers,
            f"    if ({addresses}) % {_ALIGNMENT}:",
            "        return None",
            f"    stream = current_stream({index})",
            *(f"    {step}" for step in self._steps),
            f"    return {{{results}}}",
        ]
        exec("\n".join(lines), self._values)
        return self._values["replay"]

    def _arguments(self, launch: Launch) -> str:
        values = []
        for parameter in launch.kernel.params:
            operand = launch.operands.get(parameter.name)
            constant = launch.constants.get(parameter.name)
            if operand is None:
                values.append(self._value(constant))
            elif isinstance(operand, Blocks):
                values.append(self._descriptor(operand))
            else:
                values.append(_address(operand))
        return ", ".join(values)

    def _descriptor(self, blocks: Blocks) -> str:
        view = View(blocks.tensor, blocks.sizes, (blocks.strides, blocks.offset))
        return f"{self._value(blocks.describe)}({self._view(view)})"

    def _view(self, view: View) -> str:
        name = view.tensor
        if view.layout is None:
            return name
        strides, offset = view.layout
        return f"{name}.as_strided({view.sizes}, {strides}, {name}.storage_offset() + {offset})"

    def _allocation(self, name: str) -> str:
        like = self._plan.memory[name]
        layout = f"{tuple(like.shape)}, {tuple(like.stride())}"
        types = f"dtype={self._value(like.dtype)}, device={self._value(self._plan.device)}"
        return f"empty_strided({layout}, {types})"

    def _value(self, value: Any) -> str:
        """Returns a literal for a value, or the name under which the replay finds it."""
        if value is None or type(value) in (bool, int, str):
            return repr(value)
        name = f"value_{len(self._values)}"
        self._values[name] = value
        return name


def _address(operand: Operand) -> str:
    pointer = f"{operand.tensor}_at"
    if operand.offset:
        pointer += f" + {operand.offset * operand.dtype.itemsize}"
    if operand.strides is None:
        return pointer
    return f"({pointer}, {', '.join(map(str, operand.strides))})"
