"""The Triton kernels of pixel_attention_block against the plain formula, by numbers."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import cases
from slt_fast.ops import launching, pixel_attention_block
from slt_fast.ops.pixel_attention_block import one_kernel
from slt_fast.ops.pixel_attention_block.plan import forward_plan
from slt_fast.ops.pixel_attention_block.sums import add_sum
from slt_fast.ops.positional_encoding import positional_encoding_2d
from tests.ops.conftest import DTYPES

GPU = pytest.mark.gpu
HALVES = [dtype for dtype in DTYPES if dtype != torch.float32]
# B, C, H, W, key channels, heads: the three regimes, odd sizes; on a GPU the sizes that are timed.
SIZES = [
    (2, 512, 7, 7, 64, 1),
    (2, 64, 7, 7, 32, 2),
    (3, 32, 1, 1, 16, 1),
    (2, 48, 5, 7, 16, 1),
    (1, 64, 9, 9, 16, 1),
    pytest.param((1, 32, 13, 21, 32, 2), marks=pytest.mark.slow),  # for the interpreter
    *(
        pytest.param((1, cases.CHANNELS, side, side, cases.KEY_CHANNELS, 1), marks=GPU)
        for side in cases.SIDES[1:]
    ),
    pytest.param((1, 64, 17, 19, 16, 1), marks=GPU),
]
SIDES = [4, 5, 7]  # one for each regime, as small_regimes sets them
PARAMETERS = (1, 2, 3)  # weight, bias and gamma among the inputs


@pytest.fixture
def small_regimes(set_limits) -> None:
    """Whole maps up to 16 positions, whole rows up to 32: the interpreter is slow."""
    set_limits(MAX_WHOLE_MAP=16, MAX_WHOLE_ROW=32)


def inputs(B, C, H, W, K, gamma=0.7) -> list[torch.Tensor]:
    rows = 2 * K + C
    weight = torch.randn(rows, C) * C**-0.5
    encoding = positional_encoding_2d(C, H, W)
    return [torch.randn(B, C, H, W), weight, torch.randn(rows), torch.tensor(gamma), encoding]


def block(K: int, heads: int = 1, channels_last: bool = True):
    memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def function(x, weight, bias=None, gamma=None, encoding=None, *, backend) -> torch.Tensor:
        y = pixel_attention_block(
            x.contiguous(memory_format=memory_format),
            weight,
            bias,
            gamma,
            key_channels=K,
            num_heads=heads,
            positional_encoding=encoding,
            backend=backend,
        )
        assert y.is_contiguous(memory_format=memory_format)
        return y

    return function


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("channels_last", [True, False], ids=["channels_last", "contiguous"])
def test_outputs_and_gradients(check_parity, kernel_dtype, shape, channels_last) -> None:
    *sizes, K, heads = shape
    function = block(K, heads, channels_last)
    check_parity(function, inputs(*sizes, K), kernel_dtype, joined=PARAMETERS)


@pytest.mark.usefixtures("small_regimes")
@pytest.mark.parametrize("side", SIDES)
def test_without_encoding_or_bias(check_parity, kernel_dtype, side) -> None:
    x, weight, bias, gamma, _ = inputs(2, 32, side, side, 16)
    function = block(16)
    check_parity(
        lambda x, w, b, g, backend: function(x, w, b, g, backend=backend),
        [x, weight, bias, gamma],
        kernel_dtype,
        joined=PARAMETERS,
    )
    check_parity(
        lambda x, w, g, backend: function(x, w, None, g, backend=backend),
        [x, weight, gamma],
        kernel_dtype,
        joined=(1, 2),
    )


@pytest.mark.usefixtures("small_regimes")
def test_many_channels_of_a_large_map(check_parity, kernel_dtype) -> None:
    """The flash kernel then stores halves of a value block, here one of them outside the map."""
    check_parity(block(16), inputs(1, 272, 7, 7, 16), kernel_dtype, joined=PARAMETERS)


@pytest.mark.usefixtures("small_regimes")
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("stretch", ["expanded", "sliced", "transposed"])
def test_strides_of_maps_and_gradients(check_parity, kernel_dtype, side, stretch) -> None:
    def view(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim < 4:
            return tensor
        if stretch == "transposed":
            return tensor.mT
        if stretch == "sliced":
            return tensor.repeat(1, 1, 2, 2)[:, :, ::2, ::2]
        return tensor[:1].expand_as(tensor)

    def gradient_like(y: torch.Tensor) -> torch.Tensor:
        gradient = view(torch.randn_like(y))
        return gradient[:, :, :1, :1].expand_as(y) if stretch == "expanded" else gradient

    def function(x, weight, bias, gamma, encoding, *, backend) -> torch.Tensor:
        settings = {"key_channels": 16, "positional_encoding": encoding, "backend": backend}
        return pixel_attention_block(x, weight, bias, gamma, **settings)

    tensors = inputs(2, 32, side, side, 16)
    check_parity(function, tensors, kernel_dtype, gradient_like, view, joined=PARAMETERS)


@pytest.mark.usefixtures("small_regimes")
@pytest.mark.parametrize("side", SIDES)
def test_gamma_zero_hands_the_map_on_and_learns(kernel_device, kernel_dtype, side) -> None:
    tensors = [t.to(kernel_device, kernel_dtype) for t in inputs(2, 32, side, side, 16, gamma=0.0)]
    tensors = [t.requires_grad_() for t in tensors]
    x, weight, bias, gamma, encoding = tensors
    y = block(16)(*tensors, backend="triton")
    assert torch.equal(y, x + encoding)
    gradient = torch.randn_like(y)
    names = ("x", "weight", "bias", "gamma", "encoding")
    found = dict(zip(names, torch.autograd.grad(y, tensors, gradient), strict=True))
    wide = [t.detach().double().requires_grad_() for t in tensors]
    want = torch.autograd.grad(block(16)(*wide, backend="reference"), wide[3], gradient.double())[0]
    assert torch.equal(found["x"], gradient)
    assert not found["weight"].any() and not found["bias"].any()
    bound = 4 * torch.finfo(kernel_dtype).eps
    torch.testing.assert_close(found["gamma"].double(), want, rtol=bound, atol=bound)
    assert all(value.isfinite().all() for value in found.values())


@pytest.fixture
def in_one_kernel() -> Iterator[None]:
    one_kernel.set_one_kernel(True)
    yield
    one_kernel.set_one_kernel(None)


@pytest.mark.usefixtures("in_one_kernel")
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("shape", [(3, 64, 7, 7), (2, 128, 5, 7), (5, 192, 2, 3)], ids=str)
def test_one_kernel(check_parity, dtype, shape) -> None:
    """With maps and channels that fill a program, and that do not."""
    check_parity(block(64), inputs(*shape, 64), dtype, joined=PARAMETERS)


@pytest.mark.usefixtures("in_one_kernel")
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_one_kernel_without_encoding_or_bias(check_parity, dtype) -> None:
    x, weight, bias, gamma, encoding = inputs(2, 64, 3, 5, 64)

    def without_encoding(x, w, b, g, *, backend) -> torch.Tensor:
        return block(64)(x, w, b, g, backend=backend)

    def without_bias(x, w, g, e, *, backend) -> torch.Tensor:
        return block(64)(x, w, None, g, e, backend=backend)

    def without_either(x, w, g, *, backend) -> torch.Tensor:
        return block(64)(x, w, None, g, backend=backend)

    check_parity(without_encoding, [x, weight, bias, gamma], dtype, joined=PARAMETERS)
    check_parity(without_bias, [x, weight, gamma, encoding], dtype, joined=(1, 2))
    check_parity(without_either, [x, weight, gamma], dtype, joined=(1, 2))


@pytest.mark.usefixtures("in_one_kernel")
def test_one_kernel_leaves_the_neighbours_of_a_bad_map_alone(kernel_device) -> None:
    tensors = [t.to(kernel_device, torch.float16) for t in inputs(4, 64, 3, 5, 64)]
    for bad in (torch.nan, torch.inf):
        expected = block(64)(*tensors, backend="triton")
        spoilt = tensors[0].clone()
        spoilt[1, 0, 0, 0] = bad
        result = block(64)(spoilt, *tensors[1:], backend="triton")
        assert torch.equal(result[[0, 2, 3]], expected[[0, 2, 3]])
        assert not result[1, :, 0, 0].isfinite().any()


@pytest.mark.usefixtures("in_one_kernel")
def test_one_kernel_saves_for_gradients_only(kernel_device) -> None:
    tensors = [t.to(kernel_device, torch.float16) for t in inputs(2, 64, 3, 5, 64)]
    x, *others = (t.to("meta") for t in tensors)
    given = (x.device, x.to(memory_format=torch.channels_last), *others, 64, 1, 0.125)
    saving, without = (forward_plan.plan(*given, saves, True) for saves in (True, False))
    assert [launch.row.kernel for launch in saving.launches] == ["block_forward"]
    assert saving.memory.keys() - without.memory.keys() == {"qkv"}
    y = block(64)(*tensors, backend="triton")
    assert torch.equal(y, block(64)(*(t.requires_grad_() for t in tensors), backend="triton"))


def test_one_kernel_where_it_is_predicted_to_be_faster() -> None:
    half = {"dtype": torch.float16, "device": "meta"}
    weight, gamma = torch.empty(640, 512, **half), torch.empty((), **half)

    def kernels(B: int, *, heads: int = 1, aligned: bool = True, **like) -> list[str]:
        x = torch.empty(B, 512, 7, 7, **half | like).to(memory_format=torch.channels_last)
        settings = (64, heads, 1.0, True, aligned)
        plan = forward_plan.plan(x.device, x, weight, None, gamma, None, *settings)
        return [launch.row.kernel for launch in plan.launches]

    two = ["projection", "whole_row_forward_residual"]
    assert [len(kernels(B)) for B in (100, 256, 264, 300, 512, 1024)] == [2, 1, 1, 2, 1, 1]
    assert kernels(256) == ["block_forward"]
    assert kernels(256, heads=2) == kernels(256, aligned=False) == two
    assert kernels(256, dtype=torch.float32) == two
    one_kernel.set_one_kernel(False)
    assert kernels(256) == two
    one_kernel.set_one_kernel(None)


@pytest.mark.usefixtures("small_regimes")
@pytest.mark.parametrize("side", SIDES)
def test_a_small_gamma_costs_no_digits(check_parity, kernel_dtype, side) -> None:
    """The softmax's weights times such a gamma are too small for float16."""
    x, weight, _, gamma, _ = inputs(2, 32, side, side, 16, gamma=1e-5)

    def gradient_like(y: torch.Tensor) -> torch.Tensor:
        return 512 * torch.randn_like(y)  # of a scaled loss

    def function(x, weight, *, backend) -> torch.Tensor:
        return block(16)(x, weight, None, gamma.to(x), backend=backend)

    check_parity(function, [x, weight], kernel_dtype, gradient_like)


@pytest.mark.usefixtures("small_regimes")
@pytest.mark.parametrize("side", SIDES)
def test_a_bad_map_stays_alone(kernel_device, side) -> None:
    tensors = [t.to(kernel_device) for t in inputs(3, 32, side, side, 16)]
    gradient = torch.randn_like(tensors[0])

    def results() -> tuple[torch.Tensor, torch.Tensor]:
        x = tensors[0].clone().requires_grad_()
        y = block(16)(x, *tensors[1:], backend="triton")
        return y.detach(), torch.autograd.grad(y, x, gradient)[0]

    expected = results()
    tensors[0][1, 0, 0, 0] = torch.nan
    for value, want in zip(results(), expected, strict=True):
        assert torch.equal(value[[0, 2]], want[[0, 2]]) and value[1].isnan().any()


@pytest.mark.usefixtures("small_regimes")
def test_runs_are_equal_to_the_bit(kernel_device) -> None:
    for side in SIDES:
        leaves = [t.to(kernel_device).requires_grad_() for t in inputs(2, 32, side, side, 16)]
        runs = []
        for _ in range(3):
            y = block(16)(*leaves, backend="triton")
            runs.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
        for other in runs[1:]:
            assert all(map(torch.equal, runs[0], other))


@pytest.mark.parametrize("channels_last", [True, False], ids=["channels_last", "contiguous"])
def test_parts_of_the_gradients_are_equal_to_the_bit(
    kernel_device, kernel_dtype, channels_last
) -> None:
    tensors = [t.to(kernel_device, kernel_dtype) for t in inputs(2, 16, 2, 2, 16)]
    gradient = torch.randn_like(tensors[0])

    def gradients(wanted: tuple[int, ...]) -> list[torch.Tensor]:
        given = [t.detach().requires_grad_(n in wanted) for n, t in enumerate(tensors)]
        y = block(16, channels_last=channels_last)(*given, backend="triton")
        return list(torch.autograd.grad(y, [given[n] for n in wanted], gradient))

    everything = gradients(tuple(range(len(tensors))))
    for number in range(1, len(tensors)):
        for wanted in itertools.combinations(range(len(tensors)), number):
            for found, n in zip(gradients(wanted), wanted, strict=True):
                assert torch.equal(found, everything[n]), (wanted, n)


def test_sums_over_more_terms_than_a_block(kernel_device) -> None:
    @launching.Planner
    def write(plan: launching.Plan, left: torch.Tensor, right: torch.Tensor) -> None:
        sums = plan.allocate("sums", left.new_empty(5, 48))
        transposed = plan.allocate("transposed", left.new_empty(48, 5, dtype=torch.float16))
        total = plan.allocate("total", right.new_empty(()))
        add_sum(plan, "total_sums", left, sums, transposed.mT, right, total)

    left, right = torch.randn(300, 5, 48, device=kernel_device), torch.randn(131, 1)
    right = right.to(kernel_device)
    found = launching.NO_PLANS.run(write, left.device, left, right)
    want = left.double().sum(0)
    torch.testing.assert_close(found["sums"].double(), want, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found["transposed"].double(), want.mT, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found["total"].double(), right.double().sum(), rtol=1e-5, atol=1e-5)


@settings(max_examples=8)
@given(H=st.integers(1, 9), W=st.integers(1, 9), heads=st.sampled_from([1, 2]), C=st.just(64))
def test_any_size(H: int, W: int, heads: int, C: int) -> None:
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    results = []
    for backend, dtype in (("triton", torch.float32), ("reference", torch.float64)):
        torch.manual_seed(1)
        leaves = [t.to(device, dtype).requires_grad_() for t in inputs(2, C, H, W, 32)]
        y = block(32, heads)(*leaves, backend=backend)
        results.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
    for value, want in zip(*results, strict=True):
        assert (value.double() - want).norm() <= 1e-5 * want.norm()
