"""Checks that replays hand Triton's launcher what Triton itself would; run as a program.

Kernels are compiled, and started through a driver that does nothing. Each run of a plan within a
call is compared, argument by argument, with a run of a plan that was made anew and that starts its
kernels through Triton. With "all" for every regime and type, else for a few and for calls that
change at random.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks import stub_driver

if __name__ == "__main__":
    stub_driver.activate()

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from triton.backends.nvidia.driver import CudaLauncher
from triton.tools.tensor_descriptor import TensorDescriptor

from slt_fast.ops import add_positional_encoding_2d, pixel_attention, pixel_attention_block
from slt_fast.ops.launching import Planner, Plans, machine_state
from slt_fast.ops.layouts import layouts_of
from slt_fast.ops.pixel_attention_block.one_kernel import set_one_kernel

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
SIDES = (7, 9, 17)  # whole maps, whole rows and flash attention
Call = Callable[[], Any]


@dataclass
class Run:
    """A run of a plan."""

    planner: Planner
    device: torch.device
    arguments: tuple
    memory: dict[str, torch.Tensor]
    launches: list[tuple]

    def again(self) -> Run:
        """Runs a new plan for the same arguments through Triton."""
        count = self.planner._num_tensors
        layouts = layouts_of(self.arguments[:count])
        plan = self.planner._make(self.device, machine_state(), layouts, self.arguments[count:])
        with recorded_launches() as launches, torch.no_grad():
            memory = plan.run(self.planner.names, self.arguments)
        return Run(self.planner, self.device, self.arguments, memory, launches)

    def comparable(self) -> list:
        """Returns the launches with addresses in the plan's memory as names and offsets."""
        return [self._named(launch) for launch in self.launches]

    def _named(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(self._named, value))
        if isinstance(value, TensorDescriptor):
            layout = (value.shape, value.strides, value.block_shape)
            return self._named(value.base), value.base.dtype, layout
        if isinstance(value, torch.Tensor):
            value = value.data_ptr()
        for name, tensor in self.memory.items():
            size = tensor.untyped_storage().nbytes()
            if type(value) is int and 0 <= value - tensor.data_ptr() < size:
                return name, value - tensor.data_ptr()
        return value


@contextmanager
def recorded_launches() -> Iterator[list[tuple]]:
    """Records launcher, grid, stream, function, metadata and arguments of launches."""
    launches: list[tuple] = []
    launch = CudaLauncher.__call__

    def record(self, *arguments):
        # Without the hooks, of which there are none, and what they would be told.
        launches.append((id(self), *arguments[:6], *arguments[9:]))
        return launch(self, *arguments)

    CudaLauncher.__call__ = record
    try:
        yield launches
    finally:
        CudaLauncher.__call__ = launch


@contextmanager
def recorded_runs() -> Iterator[list[Run]]:
    """Records the runs of plans."""
    runs: list[Run] = []
    run = Plans.run

    def record(self, planner, device, *arguments, key=()):
        with recorded_launches() as launches:
            memory = run(self, planner, device, *arguments, key=key)
        runs.append(Run(planner, device, arguments, memory, launches))
        return memory

    Plans.run = record
    try:
        yield runs
    finally:
        Plans.run = run


def check(call: Call) -> int:
    """Checks the runs of a call; returns the number of their launches."""
    with recorded_runs() as runs:
        call()
    assert runs
    for run in runs:
        found, expected = run.comparable(), run.again().comparable()
        assert found == expected, f"\n{found}\n{expected}"
    return sum(len(run.launches) for run in runs)


@contextmanager
def no_launch_through_triton() -> Iterator[None]:
    """Fails if a kernel is started in any other way than by a replay."""
    from triton.runtime.jit import JITFunction

    run = JITFunction.run
    JITFunction.run = None
    try:
        yield
    finally:
        JITFunction.run = run


def attention_call(
    side: int, dtype: torch.dtype, bias: str | None, *, gradients: bool, heads: int = 1
) -> Call:
    N, like = side * side, {"dtype": dtype, "requires_grad": gradients}
    q, k, v = (torch.randn(2, heads, N, channels, **like) for channels in (16, 16, 32))
    added = None
    if bias == "mask":
        added = torch.rand(N, N) > 0.5
    elif bias is not None:
        added = torch.randn(N, N, requires_grad=gradients and bias == "learned")
    leaves = [t for t in (q, k, v, added) if t is not None and t.requires_grad]

    def call() -> None:
        y = pixel_attention(q, k, v, bias=added, backend="triton")
        if gradients:
            torch.autograd.grad(y.sum(), leaves)

    return call


def block_call(
    side: int, dtype: torch.dtype, *, bias: bool, encoding: bool, wanted: tuple[bool, ...]
) -> Call:
    """A call with the gradients that are wanted of map, weight, bias, gamma and encoding."""
    x = torch.randn(2, 32, side, side, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.randn(64, 32, dtype=dtype)
    qkv_bias = torch.randn(64, dtype=dtype) if bias else None
    added = torch.randn(32, side, side, dtype=dtype) if encoding else None
    given = (x, weight, qkv_bias, torch.ones(()), added)
    leaves = [t for t, wants in zip(given, wanted, strict=True) if wants and t is not None]
    for leaf in leaves:
        leaf.requires_grad_()
    options = {"key_channels": 16, "positional_encoding": added, "backend": "triton"}

    def call() -> None:
        y = pixel_attention_block(*given[:4], **options)
        if leaves:
            torch.autograd.grad(y.sum(), leaves)

    return call


def one_kernel_call(dtype: torch.dtype, *, gradients: bool) -> Call:
    """A call with so many channels that one kernel computes the block's forward pass."""
    x = torch.randn(3, 64, 3, 5, dtype=dtype).to(memory_format=torch.channels_last)
    x.requires_grad_(gradients)
    weight, encoding = torch.randn(192, 64, dtype=dtype), torch.randn(64, 3, 5, dtype=dtype)
    options = {"key_channels": 64, "positional_encoding": encoding, "backend": "triton"}

    def call() -> None:
        y = pixel_attention_block(x, weight, None, torch.ones(()), **options)
        if gradients:
            torch.autograd.grad(y.sum(), x)

    return call


def encoding_call(side: int, dtype: torch.dtype) -> Call:
    x = torch.randn(2, 32, side, side, dtype=dtype)
    return lambda: add_positional_encoding_2d(x, backend="triton")


def calls(sides: tuple[int, ...], dtypes: tuple[torch.dtype, ...]) -> Iterator[Call]:
    """Yields calls of regimes and types, with and without bias, encoding and gradients.

    Of the block also with any part of its gradients.
    """
    both = (False, True)
    for side, dtype, gradients in itertools.product(sides, dtypes, both):
        for bias in (None, "mask", "fixed", "learned"):
            yield attention_call(side, dtype, bias, gradients=gradients)
        for bias, encoding in itertools.product(both, both):
            wanted = (gradients,) * 5
            yield block_call(side, dtype, bias=bias, encoding=encoding, wanted=wanted)
        yield encoding_call(side, dtype)
        if dtype != torch.float32 and side == SIDES[0]:
            yield one_kernel_call(dtype, gradients=gradients)
    for dtype, wanted in itertools.product(dtypes, itertools.product(both, repeat=5)):
        if any(wanted):
            yield block_call(sides[0], dtype, bias=True, encoding=True, wanted=wanted)


def check_regimes(sides: tuple[int, ...], dtypes: tuple[torch.dtype, ...]) -> None:
    """The second time, each call is a replay, and with the same arguments."""
    num_calls = num_launches = 0
    for call in calls(sides, dtypes):
        num_launches += check(call)
        with no_launch_through_triton():
            call()
        num_launches += check(call)
        num_calls += 1
    print(f"{num_calls} calls, {num_launches} launches")


@st.composite
def tensors(draw: st.DrawFn, *shape: int) -> torch.Tensor:
    """A tensor of any type, aligned or not, with its axes in any order in memory, or with holes."""
    dtype = draw(st.sampled_from(DTYPES[:2]))
    order = draw(st.permutations(range(len(shape))))
    step, shift = draw(st.sampled_from((1, 2))), draw(st.sampled_from((0, 1, 8)))
    sizes = [shape[axis] for axis in order]
    flat = torch.randn(shift + step * torch.Size(sizes).numel()).to(dtype)
    laid = flat[shift::step].view(sizes)
    return laid.permute([order.index(axis) for axis in range(len(shape))])


@st.composite
def any_calls(draw: st.DrawFn) -> list[Call]:
    """A sequence of calls in which anything may change from one to the next."""
    return [draw(st.one_of(any_attention(), any_block())) for _ in range(draw(st.integers(2, 4)))]


@st.composite
def any_attention(draw: st.DrawFn) -> Call:
    B, heads, N = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.sampled_from((3, 16)))
    q = draw(tensors(B, heads, N, 16))
    k, v = (draw(tensors(B, heads, N, 16)).to(q.dtype) for _ in range(2))
    bias = draw(st.none() | tensors(N, N))
    gradients = draw(st.booleans())
    leaves = [q, k, v, *([] if bias is None else [bias])]

    def call() -> None:
        for leaf in leaves:
            leaf.requires_grad_(gradients)
        y = pixel_attention(q, k, v, bias=bias, backend="triton")
        if gradients:
            torch.autograd.grad(y.sum(), leaves)

    return call


@st.composite
def any_block(draw: st.DrawFn) -> Call:
    B, side = draw(st.integers(1, 2)), draw(st.sampled_from((2, 3)))
    x = draw(tensors(B, 16, side, side))
    weight = draw(tensors(48, 16)).to(x.dtype)
    bias = draw(st.none() | tensors(48))
    bias = None if bias is None else bias.to(x.dtype)
    gamma, encoding = draw(tensors()), draw(st.none() | tensors(16, side, side))
    wanted = draw(st.lists(st.booleans(), min_size=5, max_size=5))
    given = (x, weight, bias, gamma, encoding)
    leaves = [t for t, wants in zip(given, wanted, strict=True) if wants and t is not None]
    options = {"key_channels": 16, "positional_encoding": encoding, "backend": "triton"}

    def call() -> None:
        for leaf in leaves:
            leaf.requires_grad_()
        y = pixel_attention_block(x, weight, bias, gamma, **options)
        if leaves:
            torch.autograd.grad(y.sum(), leaves)

    return call


@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(sequence=any_calls())
def check_changes(sequence: list[Call]) -> None:
    """No call is ever started with the arguments of another."""
    for call in sequence * 2:
        check(call)


if __name__ == "__main__":
    set_one_kernel(True)  # of the maps that it takes
    if sys.argv[1:] == ["all"]:
        check_regimes(SIDES, DTYPES)
    else:
        check_regimes(SIDES[:1], DTYPES[1:2])
        check_changes()
