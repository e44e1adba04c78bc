import math

import pytest
import torch

from slt_fast.ops import add_positional_encoding_2d
from slt_fast.ops.positional_encoding import positional_encoding_2d, sinusoidal_encoding

SIZES = [(4, 1, 1), (8, 5, 7), (12, 9, 2), (64, 7, 7)]


def written_out(C: int, H: int, W: int) -> torch.Tensor:
    """The definition, value by value."""
    D = C // 2
    encoding = torch.empty(C, H, W, dtype=torch.float64)
    for i in range(H):
        for j in range(W):
            for first, position in ((0, i), (D, j)):
                for k in range(D // 2):
                    angle = position / 10000 ** (2 * k / D)
                    encoding[first + 2 * k, i, j] = math.sin(angle)
                    encoding[first + 2 * k + 1, i, j] = math.cos(angle)
    return encoding


@pytest.mark.parametrize(("C", "H", "W"), SIZES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_is_the_formula_rounded_once(C, H, W, dtype) -> None:
    result = positional_encoding_2d(C, H, W, dtype=dtype)
    assert result.dtype == dtype
    error = (result.double() - written_out(C, H, W)).abs().max()
    assert error <= torch.finfo(dtype).eps / 2 + 1e-14


@pytest.mark.parametrize(("C", "H", "W"), SIZES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_is_added_in_either_memory_format(C, H, W, memory_format) -> None:
    x = torch.randn(3, C, H, W, dtype=torch.float64).to(memory_format=memory_format)
    result = add_positional_encoding_2d(x)
    torch.testing.assert_close(result, x + written_out(C, H, W), rtol=0, atol=1e-14)
    assert result.is_contiguous(memory_format=memory_format)


def test_keeps_the_type_of_the_map() -> None:
    x = torch.randn(2, 8, 3, 3)
    exact = add_positional_encoding_2d(x.bfloat16().double())
    result = add_positional_encoding_2d(x.bfloat16())
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.double(), exact, rtol=2**-8, atol=2**-8)


def test_its_gradient_is_the_identity() -> None:
    x = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(add_positional_encoding_2d, (x,))


def test_a_table_first_used_for_inference_serves_training_too() -> None:
    with torch.inference_mode():
        add_positional_encoding_2d(torch.zeros(1, 4, 11, 13))
    x = torch.zeros(1, 4, 11, 13, requires_grad=True)
    (add_positional_encoding_2d(x) * x.detach()).sum().backward()
    encoding = positional_encoding_2d(4, 11, 13)
    assert not encoding.is_inference()
    weight = torch.ones(4, 11, 13, requires_grad=True)
    (weight * encoding).sum().backward()
    assert torch.equal(weight.grad, encoding)


def test_one_coordinate_has_any_length() -> None:
    encoding = sinusoidal_encoding(3000, 6)
    assert encoding.shape == (3000, 6)
    assert encoding[2999, 4].item() == pytest.approx(math.sin(2999 / 10000 ** (4 / 6)), abs=1e-12)
    assert encoding[2999, 5].item() == pytest.approx(math.cos(2999 / 10000 ** (4 / 6)), abs=1e-12)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(1, 6, 2, 2), "found 6 channels; expected a multiple of 4"),
        (torch.zeros(8, 2, 2), r"found torch.float32 of \[8, 2, 2\]"),
        (torch.zeros(1, 8, 2, 2, dtype=torch.uint8), r"found torch.uint8 of \[1, 8, 2, 2\]"),
    ],
)
def test_maps_that_do_not_fit_are_named(x, message) -> None:
    with pytest.raises(ValueError, match=message):
        add_positional_encoding_2d(x)


def test_a_backend_that_cannot_run_says_why(kernel_device) -> None:
    x = torch.zeros(1, 4, 2, 2, dtype=torch.float64, device=kernel_device)
    refusal = f"backend 'triton' cannot run on {kernel_device}: found torch.float64"
    message = f"add_positional_encoding_2d: {refusal}"
    with pytest.raises(ValueError, match=message):
        add_positional_encoding_2d(x, backend="triton")


@pytest.mark.parametrize("B", [1, 3, 9])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_kernel_equals_the_sum(kernel_device, kernel_dtype, B, memory_format) -> None:
    for C, H, W in (*SIZES, (128, 9, 9)):
        x = torch.randn(B, C, H, W, device=kernel_device).to(kernel_dtype)
        x = x.contiguous(memory_format=memory_format).requires_grad_()
        y = add_positional_encoding_2d(x, backend="triton")
        assert torch.equal(y, add_positional_encoding_2d(x, backend="reference"))
        assert y.is_contiguous(memory_format=memory_format)
        gradient = torch.randn_like(y)
        assert torch.equal(*torch.autograd.grad(y, x, gradient), gradient)


def test_the_kernel_takes_any_strides(kernel_device) -> None:
    x = torch.randn(4, 8, 6, 10, device=kernel_device)
    views = (x[::2], x[:, :, ::2, 1::3], x.mT, x[:1].expand(3, -1, -1, -1), x.transpose(0, 1))
    for view in views:
        for memory_format in (torch.contiguous_format, torch.channels_last):
            other = view if memory_format is torch.contiguous_format else view.permute(0, 3, 1, 2)
            if other.shape[1] % 4:
                continue
            result = add_positional_encoding_2d(other, backend="triton")
            assert torch.equal(result, add_positional_encoding_2d(other, backend="reference"))


def test_a_bad_map_stays_alone(kernel_device) -> None:
    x = torch.randn(3, 8, 5, 7, device=kernel_device)
    expected = add_positional_encoding_2d(x, backend="triton")
    x[1] = torch.nan
    result = add_positional_encoding_2d(x, backend="triton")
    assert result[1].isnan().all() and torch.equal(result[[0, 2]], expected[[0, 2]])
