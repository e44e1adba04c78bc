"""Calls that were seen before are answered as the first time; bad ones are refused each time."""

import importlib

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from slt_fast.ops import (
    add_positional_encoding_2d,
    attention_weights,
    calls,
    pixel_attention,
    pixel_attention_block,
)


def qkv() -> list[torch.Tensor]:
    return [torch.randn(2, 1, 9, 16) for _ in range(3)]


WEIGHT, GAMMA = torch.randn(48, 16), torch.ones(())


def block(x: torch.Tensor, weight=WEIGHT, gamma=GAMMA, **options) -> torch.Tensor:
    return pixel_attention_block(x, weight, None, gamma, **{"key_channels": 16, **options})


BAD = {
    "no first tensor": lambda: pixel_attention(None, *qkv()[1:]),
    "no map": lambda: block(None),
    "no map to encode": lambda: add_positional_encoding_2d(None),
    "array": lambda: pixel_attention(qkv()[0].numpy(), *qkv()[1:]),
    "empty bias of integers": lambda: pixel_attention(
        *qkv(), bias=torch.empty(0, dtype=torch.int8)
    ),
    "key channels as float": lambda: block(torch.randn(2, 16, 3, 3), key_channels=16.0),
    "heads as bool": lambda: block(torch.randn(2, 16, 3, 3), num_heads=True),
    "complex scale": lambda: pixel_attention(*qkv(), scale=1j),
    "scale of two": lambda: pixel_attention(*qkv(), scale=torch.ones(2)),
    "scale of NaN": lambda: pixel_attention(*qkv(), scale=float("nan")),
    "scale of NaN in a tensor": lambda: pixel_attention(*qkv(), scale=torch.tensor(torch.nan)),
    "infinite scale": lambda: block(torch.randn(2, 16, 3, 3), scale=float("inf")),
    "list as scale": lambda: pixel_attention(*qkv(), scale=[1]),
    "unknown backend": lambda: pixel_attention(*qkv(), backend="cuda"),
    "list as backend": lambda: pixel_attention(*qkv(), backend=["auto"]),
    "sparse": lambda: pixel_attention(*qkv(), bias=torch.ones(9, 9).to_sparse()),
    "gamma of two": lambda: block(torch.randn(2, 16, 3, 3), gamma=torch.ones(2)),
}


@pytest.mark.parametrize("call", BAD.values(), ids=BAD)
def test_bad_calls_are_refused_beside_known_good_ones(call) -> None:
    for _ in range(2):
        pixel_attention(*qkv())
        block(torch.randn(2, 16, 3, 3))
        add_positional_encoding_2d(torch.randn(2, 16, 3, 3))
        with pytest.raises((TypeError, ValueError), match="found"):
            call()


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -float("inf")])
def test_a_scale_that_is_not_finite_is_named(scale: float) -> None:
    """Each time, and no such call is remembered: a NaN would never be found again."""
    q, k, v = qkv()
    for name, call in (
        ("pixel_attention", lambda: pixel_attention(q, k, v, scale=scale)),
        ("attention_weights", lambda: attention_weights(q, k, scale=scale)),
        ("pixel_attention_block", lambda: block(torch.randn(2, 16, 3, 3), scale=scale)),
    ):
        calls.forget_calls()
        for _ in range(2):
            with pytest.raises(ValueError, match=f"{name}: found scale of {scale}; expected a fin"):
                call()
        assert not any(known._known for known in calls._all_calls)


def test_good_calls_are_known(monkeypatch) -> None:
    first = qkv()
    expected = pixel_attention(*first)
    module = importlib.import_module("slt_fast.ops.pixel_attention.operator")
    monkeypatch.setattr(module, "check", None)
    torch.testing.assert_close(pixel_attention(*first), expected)
    with pytest.raises(TypeError):  # other layouts are checked
        pixel_attention(*(tensor.double() for tensor in first))
    calls.forget_calls()
    with pytest.raises(TypeError):
        pixel_attention(*first)


def test_a_setting_that_can_change_is_read_each_time() -> None:
    q, k, v = qkv()
    scale, number = torch.tensor(0.5), np.array(0.5)
    for value in (0.5, 2.0):
        scale.fill_(value)
        number.fill(value)
        expected = pixel_attention(q, k, v, scale=value)
        for changed in (scale, number):
            torch.testing.assert_close(pixel_attention(q, k, v, scale=changed), expected)


def test_autocast_is_part_of_what_is_known() -> None:
    x = torch.randn(2, 16, 3, 3)
    for dtype in (torch.bfloat16, torch.float16, torch.bfloat16):
        assert pixel_attention(*qkv()).dtype == torch.float32
        with torch.autocast("cpu", dtype):
            assert pixel_attention(*qkv()).dtype == dtype
            assert block(x).dtype == torch.float32
    with pytest.raises(ValueError, match="bfloat16"):
        block(x, WEIGHT.bfloat16())


def test_lazily_negated_tensors(kernel_device) -> None:
    """Views of a conjugate are negated when they are read; kernels read the memory itself."""
    z = torch.randn(2, 1, 9, 16, dtype=torch.complex64, device=kernel_device)
    plain, lazy = z.conj().imag.clone(), z.conj().imag
    assert lazy.is_neg()
    for backend in ("triton", "reference"):
        for leaves in ([lazy, plain, plain], [plain, lazy, lazy]):
            expected = pixel_attention(plain, plain, plain, backend=backend)
            torch.testing.assert_close(pixel_attention(*leaves, backend=backend), expected)


def test_lazily_negated_gradient(kernel_device) -> None:
    z = torch.randn(2, 1, 9, 16, dtype=torch.complex64, device=kernel_device)
    lazy, q = z.conj().imag, torch.randn(2, 1, 9, 16, device=kernel_device, requires_grad=True)
    y = pixel_attention(q, q, q, backend="triton")
    found, expected = (
        torch.autograd.grad(y, q, gradient, retain_graph=True)
        for gradient in (lazy, lazy.resolve_neg())
    )
    torch.testing.assert_close(found, expected)


def test_symbolic_sizes() -> None:
    def attention(q, k, v):
        return pixel_attention(q, k, v)

    traced = make_fx(attention, tracing_mode="symbolic")(*qkv())
    given = [torch.randn(3, 1, 9, 16) for _ in range(3)]
    torch.testing.assert_close(traced(*given), pixel_attention(*given))
