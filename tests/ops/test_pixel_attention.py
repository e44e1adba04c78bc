import itertools
import logging
import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from slt_fast.ops import attention_weights, backend, pixel_attention
from slt_fast.ops.backend import _log_choice
from slt_fast.ops.calls import forget_calls

BIAS_SHAPES = [None, (2, 2, 3, 5), (1, 2, 3, 5), (2, 1, 1, 5), (3, 5), (5,), ()]


def inputs(B=2, heads=2, Nq=3, Nk=5, dk=4, dv=6, dtype=torch.float64) -> list[torch.Tensor]:
    shapes = [(B, heads, Nq, dk), (B, heads, Nk, dk), (B, heads, Nk, dv)]
    return [torch.randn(shape, dtype=torch.float64).to(dtype) for shape in shapes]


def written_out(q, k, v, bias, scale) -> torch.Tensor:
    """The formula query by query, in Python's own floats."""
    B, heads, Nq, _ = q.shape
    Nk, dv = v.shape[2:]
    bias = torch.zeros(()) if bias is None else bias
    bias = bias.expand(B, heads, Nq, Nk).tolist()
    q, k, v = q.tolist(), k.tolist(), v.tolist()
    out = torch.empty(B, heads, Nq, dv, dtype=torch.float64)
    for b, head, i in itertools.product(range(B), range(heads), range(Nq)):
        weights = [
            math.exp(
                scale * sum(x * y for x, y in zip(q[b][head][i], k[b][head][j], strict=True))
                + bias[b][head][i][j]
            )
            for j in range(Nk)
        ]
        for c in range(dv):
            value = sum(weight * row[c] for weight, row in zip(weights, v[b][head], strict=True))
            out[b, head, i, c] = value / sum(weights)
    return out


@pytest.mark.parametrize("bias_shape", BIAS_SHAPES)
@pytest.mark.parametrize("scale", [None, 1.0, 0.3])
def test_is_the_formula(bias_shape, scale) -> None:
    q, k, v = inputs()
    bias = None if bias_shape is None else torch.randn(bias_shape, dtype=torch.float64)
    expected = written_out(q, k, v, bias, 4**-0.5 if scale is None else scale)
    result = pixel_attention(q, k, v, bias=bias, scale=scale)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bias_shape", BIAS_SHAPES)
@pytest.mark.parametrize("scale", [None, 0.3])
def test_weights_are_those_of_the_values(bias_shape, scale) -> None:
    q, k, v = inputs()
    bias = None if bias_shape is None else torch.randn(bias_shape, dtype=torch.float64)
    weights = attention_weights(q, k, bias=bias, scale=scale)
    expected = written_out(q, k, v, bias, 4**-0.5 if scale is None else scale)
    torch.testing.assert_close(weights @ v, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 3, dtype=torch.float64))


def test_weights_are_float32_at_least_and_name_what_does_not_fit() -> None:
    q, k, _ = inputs(dtype=torch.bfloat16)
    assert attention_weights(q, k).dtype == torch.float32
    q, k, _ = inputs(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        weights = attention_weights(q, k)
    assert torch.equal(weights, attention_weights(q.bfloat16(), k.bfloat16()))
    with pytest.raises(ValueError, match=r"found k of \[2, 2, 5, 3\]; expected \[2, 2, 5, 4\]"):
        attention_weights(q, k[..., :3])


@pytest.mark.parametrize("bias_shape", BIAS_SHAPES)
def test_gradients_are_those_of_the_values(bias_shape) -> None:
    tensors = inputs()
    tensors += [] if bias_shape is None else [torch.randn(bias_shape, dtype=torch.float64)]
    for tensor in tensors:
        tensor.requires_grad_()

    def attention(q, k, v, bias=None) -> torch.Tensor:
        return pixel_attention(q, k, v, bias=bias, scale=0.7)

    assert torch.autograd.gradcheck(attention, tensors)


@pytest.mark.parametrize(("Nq", "Nk", "dk", "dv"), [(1, 1, 1, 1), (35, 49, 24, 40), (81, 7, 16, 3)])
def test_float32_is_as_exact_as_float32_can_be(Nq, Nk, dk, dv) -> None:
    exact = inputs(Nq=Nq, Nk=Nk, dk=dk, dv=dv)
    result = pixel_attention(*(tensor.float() for tensor in exact))
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), pixel_attention(*exact), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_stay_what_they_are(dtype) -> None:
    rounded = inputs(Nq=49, Nk=49, dk=16, dv=32, dtype=dtype)
    bias = torch.randn(49, 49)  # of a wider type, as a parameter under autocast is
    result = pixel_attention(*rounded, bias=bias)
    assert result.dtype == dtype
    expected = pixel_attention(*(t.double() for t in rounded), bias=bias.double())
    bound = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(result.double(), expected, rtol=bound, atol=bound)


def test_strides_do_not_matter() -> None:
    q, k, v = (tensor.requires_grad_() for tensor in inputs())
    twins = [tensor.detach().mT.contiguous().mT.requires_grad_() for tensor in (q, k, v)]
    expected, result = pixel_attention(q, k, v), pixel_attention(*twins)
    torch.testing.assert_close(result, expected)
    # A sum hands back one number seen through strides of 0.
    ones = torch.autograd.grad(expected, (q, k, v), torch.ones_like(expected))
    for gradient, want in zip(torch.autograd.grad(result.sum(), twins), ones, strict=True):
        torch.testing.assert_close(gradient, want)


def test_a_bad_frame_stays_alone() -> None:
    q, k, v = inputs()
    expected = pixel_attention(q, k, v)
    for tensor in (q, k, v):
        tensor[0] = torch.nan
    result = pixel_attention(q, k, v)
    assert result[0].isnan().all()
    torch.testing.assert_close(result[1], expected[1])


def test_a_bias_of_minus_infinity_hides_a_key() -> None:
    q, k, v = inputs()
    bias = torch.tensor([0, 0, -torch.inf, 0, 0], dtype=torch.float64)
    keep = [0, 1, 3, 4]
    expected = pixel_attention(q, k[:, :, keep], v[:, :, keep])
    torch.testing.assert_close(pixel_attention(q, k, v, bias=bias), expected)


MASK_SHAPES = [shape for shape in BIAS_SHAPES if shape is not None]


@pytest.mark.parametrize("shape", MASK_SHAPES)
def test_a_mask_is_that_of_torchs_own_attention(shape) -> None:
    """True = takes part; a query without a key gets zeros, as do its gradients."""
    mask = torch.rand(shape) > 0.4
    if mask.ndim > 1:
        mask[..., 0, :] = False
    run, gradient = [], torch.randn(2, 2, 3, 6, dtype=torch.float64)
    tensors = inputs()
    for attend in (
        lambda q, k, v: pixel_attention(q, k, v, bias=mask),
        lambda q, k, v: scaled_dot_product_attention(q, k, v, attn_mask=mask.expand(2, 2, 3, 5)),
    ):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        with sdpa_kernel(SDPBackend.MATH):
            y = attend(*leaves)
        run.append((y, *torch.autograd.grad(y, leaves, gradient)))
    for value, want in zip(*run, strict=True):
        torch.testing.assert_close(value, want)


def test_a_mask_is_a_bias_of_minus_infinity_and_repeats() -> None:
    q, k, v = inputs(B=4)
    mask = torch.rand(2, 1, 3, 5) > 0.4
    mask[..., 0] = True
    bias = torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -torch.inf)
    for function, tensors in ((pixel_attention, (q, k, v)), (attention_weights, (q, k))):
        torch.testing.assert_close(function(*tensors, bias=mask), function(*tensors, bias=bias))
    weights = attention_weights(q, k, bias=torch.zeros(3, 5, dtype=torch.bool))
    assert not weights.any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.complex64])
def test_other_types_of_bias_are_named(dtype) -> None:
    q, k, v = inputs()
    message = f"found bias of {dtype}; expected a floating-point type or bool"
    for function, tensors in ((pixel_attention, (q, k, v)), (attention_weights, (q, k))):
        with pytest.raises(ValueError, match=message):
            function(*tensors, bias=torch.ones(3, 5, dtype=dtype))


@pytest.mark.parametrize("name", ["q", "k", "v", "bias"])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda t: t.numpy(), TypeError, "of type ndarray; expected a torch.Tensor"),
        (lambda t: t.tolist(), TypeError, "of type list; expected a torch.Tensor"),
        (lambda t: t.to_sparse(), ValueError, ", a tensor of torch.sparse_coo; expected a dense"),
        (lambda t: t.long(), ValueError, "of torch.int64; expected a floating-point type"),
    ],
)
def test_arguments_of_other_kinds_are_named(name, change, error, message) -> None:
    tensors = dict(zip("qkv", inputs(), strict=True)) | {"bias": torch.zeros(3, 5)}
    tensors[name] = change(tensors[name])
    with pytest.raises(
        error, match=f"pixel_attention: found {name}{'' if message[0] == ',' else ' '}{message}"
    ):
        pixel_attention(**tensors)


def test_q_and_k_of_two_types_and_other_scales_are_named() -> None:
    q, k, v = inputs()
    for function, tensors in (
        (pixel_attention, (q, k.float(), v)),
        (attention_weights, (q, k.float())),
    ):
        with pytest.raises(ValueError, match="q of torch.float64 and k of torch.float32; expected"):
            function(*tensors)
    for scale in ("1", torch.ones((), requires_grad=True)):
        with pytest.raises(TypeError, match="found scale of (str|Tensor); expected a number"):
            pixel_attention(q, k, v, scale=scale)


def test_no_frames_give_no_frames() -> None:
    assert pixel_attention(*inputs(B=0)).shape == (0, 2, 3, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": (2, 3, 4)}, r"found q of \[2, 3, 4\]; expected \[B, heads, N, channels\]"),
        ({"k": (2, 2, 5, 3)}, r"found k of \[2, 2, 5, 3\]; expected \[2, 2, 5, 4\]"),
        ({"k": (1, 2, 5, 4)}, r"found k of \[1, 2, 5, 4\]; expected \[2, 2, 5, 4\]"),
        ({"v": (2, 2, 4, 6)}, r"found v of \[2, 2, 4, 6\]; expected \[2, 2, 5, 6\]"),
        ({"v": (2, 1, 5, 6)}, r"found v of \[2, 1, 5, 6\]; expected \[2, 2, 5, 6\]"),
        ({"bias": (5, 3)}, r"found bias of \[5, 3\].*broadcasts to \[2, 2, 3, 5\]"),
        ({"bias": (1, 2, 2, 3, 5)}, r"found bias of \[1, 2, 2, 3, 5\]"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change, message) -> None:
    tensors = dict(zip("qkv", inputs(), strict=True))
    tensors |= {name: torch.zeros(shape) for name, shape in change.items()}
    with pytest.raises(ValueError, match=message):
        pixel_attention(**tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "found torch.float64, the kernels take float32, float16 and bfloat16"),
        ({"dtype": torch.float32}, "found 4 key channels a head, .* multiples of 16 up to 128"),
        ({"dtype": torch.float32, "dk": 144}, "found 144 key channels a head"),
        ({"dtype": torch.float32, "dk": 16}, "found 6 value channels a head, .* up to 512"),
        ({"dtype": torch.float32, "dk": 16, "dv": 528}, "found 528 value channels a head"),
        ({"dtype": torch.float32, "dk": 16, "dv": 16, "B": 0}, "there is nothing to compute"),
    ],
)
def test_what_the_kernels_cannot_take_is_named(kernel_device, change, message) -> None:
    tensors = [tensor.to(kernel_device) for tensor in inputs(**change)]
    message = f"pixel_attention: backend 'triton' cannot run on {kernel_device}: {message}"
    with pytest.raises(ValueError, match=message):
        pixel_attention(*tensors, backend="triton")


def test_tensors_of_several_types_are_named(kernel_device) -> None:
    tensors = inputs(dk=16, dv=16, dtype=torch.float32)
    q, k, v = (tensor.to(kernel_device) for tensor in tensors)
    message = "found tensors of torch.float16, torch.float32, the kernels need one type"
    with pytest.raises(ValueError, match=message):
        pixel_attention(q.half(), k, v, backend="triton")


def test_a_machine_that_cannot_run_them_says_why(monkeypatch) -> None:
    tensors = inputs(dk=16, dv=16, dtype=torch.float32)
    reason = "Triton compiles for GPUs; TRITON_INTERPRET=1 in the environment interprets"
    monkeypatch.setattr(backend, "_machine_refusal", lambda device: reason)
    with pytest.raises(ValueError, match=f"'triton' cannot run on cpu: {reason}"):
        pixel_attention(*tensors, backend="triton")
    pixel_attention(*tensors)  # "auto" takes the reference
    with pytest.raises(ValueError, match="found backend 'cuda'; expected one of"):
        pixel_attention(*tensors, backend="cuda")


def test_auto_logs_its_choice_once(caplog) -> None:
    _log_choice.cache_clear()
    forget_calls()
    with caplog.at_level(logging.INFO, logger="slt_fast.ops.backend"):
        pixel_attention(*inputs(), backend="reference")
        assert not caplog.messages
        pixel_attention(*inputs())
        pixel_attention(*inputs())
    (message,) = caplog.messages
    assert message.startswith("pixel_attention: backend reference (")


def test_tensors_without_values_give_one() -> None:
    q = torch.empty(2, 1, 6, 8, device="meta")
    out = pixel_attention(q, q, torch.empty(2, 1, 6, 5, device="meta"))
    assert out.shape == (2, 1, 6, 5) and out.is_meta


def test_autocast_leaves_float64() -> None:
    q, k, v = inputs(dtype=torch.float64)
    expected = pixel_attention(q, k, v)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pixel_attention(q, k, v), expected)
