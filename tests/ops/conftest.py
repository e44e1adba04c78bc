"""What the tests of the kernels share: the criterion, and where kernels run."""

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from slt_fast.ops import launching
from slt_fast.ops.extension import cuda_refusal
from slt_fast.ops.pixel_attention import plan

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


def relative_error(value: torch.Tensor, exact: torch.Tensor) -> float:
    """Norm of the error over that of the exact value; NaN is the worst error."""
    error = (value.detach().double() - exact).norm() / exact.norm().clamp(min=1e-30)
    return float(error.nan_to_num(torch.inf))


@pytest.fixture(scope="session")
def flow_kernels() -> None:
    """Skips what needs the flow's kernels where they cannot run."""
    refusal = cuda_refusal()
    if refusal:
        pytest.skip(f"the flow's kernels cannot run: {refusal}")


@pytest.fixture
def set_limits(monkeypatch) -> Iterator[Callable[..., None]]:
    """Sets constants of the attention's plans for one test, which makes plans of its own."""

    def set_constants(**values: int) -> None:
        for name, value in values.items():
            monkeypatch.setattr(plan, name, value)
        launching.forget_plans()

    yield set_constants
    launching.forget_plans()


Values = Sequence[torch.Tensor]


@pytest.fixture
def check_parity(kernel_device: str) -> Callable:
    """Checks a function with a `backend`, by its results and every gradient.

    Its error against float64 is at most twice that of the plain formula in the same type; where
    that happens to be nearly exact, at most one rounding step of the type. Results named in
    `joined` (0 is the output, then the gradients) are measured as one vector, as an optimiser sees
    them: a scalar that sums thousands of terms has no scale of its own.
    """

    def check(
        function: Callable[..., torch.Tensor],
        inputs: Values,
        dtype: torch.dtype,
        gradient_like: Callable[[torch.Tensor], torch.Tensor] = torch.randn_like,
        view: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,
        joined: Sequence[int] = (),
    ) -> None:
        inputs = [tensor.to(kernel_device, dtype) for tensor in inputs]
        gradient = None

        def results(backend: str, in_type: torch.dtype) -> list[torch.Tensor]:
            nonlocal gradient
            leaves = [view(tensor).to(in_type).detach().requires_grad_() for tensor in inputs]
            y = function(*leaves, backend=backend)
            if gradient is None:
                gradient = gradient_like(y.detach())
            handed = gradient if in_type == dtype else gradient.to(in_type)
            return [y, *torch.autograd.grad(y, leaves, handed)]

        found = results("triton", dtype)
        plain = results("reference", dtype)
        exact = results("reference", torch.float64)
        for number, (value, like) in enumerate(zip(found, plain, strict=True)):
            assert value.dtype == like.dtype and value.shape == like.shape, number
        groups = [[i] for i in range(len(found)) if i not in joined] + [list(joined)] * bool(joined)
        for number in groups:
            value, like, want = (
                torch.cat([results[i].detach().flatten() for i in number])
                for results in (found, plain, exact)
            )
            bound = max(2 * relative_error(like, want), torch.finfo(dtype).eps)
            error = relative_error(value, want)
            assert error <= bound, f"result {number}: error {error:.2e}, bound {bound:.2e}"

    return check
