"""Shared by the tests of the kernels: the criterion, and the device that kernels run on."""

import functools
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from benchmarks import parity
from benchmarks.cases import Inputs
from slt_fast.ops import calls, launching
from slt_fast.ops.extension import cuda_refusal
from slt_fast.ops.pixel_attention import attention, plan

# On a GPU the kernels run as they are; elsewhere Triton interprets them, which knows no bfloat16.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.float16]
if DEVICE == "cuda":
    DTYPES.append(torch.bfloat16)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kernel_dtype" in metafunc.fixturenames:
        names = [str(dtype).removeprefix("torch.") for dtype in DTYPES]
        metafunc.parametrize("kernel_dtype", DTYPES, ids=names)


@pytest.fixture
def kernel_device() -> str:
    return DEVICE


@pytest.fixture(scope="session")
def flow_kernels() -> None:
    """Skips what needs the flow's kernels where they cannot run."""
    refusal = cuda_refusal()
    if refusal:
        pytest.skip(f"the flow's kernels cannot run: {refusal}")


def forget_all() -> None:
    launching.forget_plans()
    calls.forget_calls()


@pytest.fixture
def set_limits(monkeypatch) -> Iterator[Callable[..., None]]:
    """Sets constants of the attention for one test, which makes plans of its own."""

    def set_constants(**values: int) -> None:
        for name, value in values.items():
            module = attention if hasattr(attention, name) else plan
            monkeypatch.setattr(module, name, value)
        forget_all()

    yield set_constants
    forget_all()


Values = Sequence[torch.Tensor]


@pytest.fixture
def check_parity(kernel_device: str) -> Callable:
    """Checks a function with a `backend`, by its results and every gradient, as benchmarks.parity.

    Gradients of the inputs whose numbers are in `joined`, from 0, are measured as one vector.
    """

    def check(
        function: Callable[..., torch.Tensor],
        inputs: Values,
        dtype: torch.dtype,
        gradient_like: Callable[[torch.Tensor], torch.Tensor] = torch.randn_like,
        view: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,
        joined: Sequence[int] = (),
    ) -> None:
        kernel, plain = (functools.partial(function, backend=b) for b in ("triton", "reference"))
        tensors = [view(tensor.to(kernel_device, dtype)) for tensor in inputs]
        leaves = tuple(tensor.detach().requires_grad_() for tensor in tensors)
        gradient = gradient_like(plain(*leaves).detach())
        names = tuple(f"input {number}" for number in range(len(leaves)))
        call = Inputs(leaves, (), gradient, 0, names)
        maps = list(range(len(gradient)))
        reference = parity.Reference.build(plain, call, maps, [names[i] for i in joined])
        parity.check(kernel, call, reference).require(f"the kernels in {dtype}")

    return check
