import math

import pytest
import torch
from torch.nn import functional

from slt_fast.ops import pixel_attention_block

FORMATS = [torch.contiguous_format, torch.channels_last]
NAMES = ("x", "qkv_weight", "qkv_bias", "gamma", "positional_encoding")


def inputs(B=2, C=8, H=2, W=3, key_channels=4, gamma=0.8) -> dict[str, torch.Tensor]:
    rows = 2 * key_channels + C
    shapes = [(B, C, H, W), (rows, C), (rows,), (), (C, H, W)]
    tensors = {
        name: torch.randn(shape, dtype=torch.float64)
        for name, shape in zip(NAMES, shapes, strict=True)
    }
    tensors["qkv_weight"] *= C**-0.5
    tensors["gamma"].fill_(gamma)
    return tensors


def to(tensors: dict[str, torch.Tensor], *args) -> dict[str, torch.Tensor]:
    return {name: tensor.to(*args) for name, tensor in tensors.items()}


def written_out(
    x, qkv_weight, qkv_bias, gamma, positional_encoding, *, key_channels, num_heads=1, scale=None
) -> torch.Tensor:
    """The block pixel by pixel."""
    B, C, H, W = x.shape
    K, heads = key_channels, num_heads
    scale = (K // heads) ** -0.5 if scale is None else scale
    pixels = [(i, j) for i in range(H) for j in range(W)]
    y = torch.empty_like(x)
    for b in range(B):
        h = {p: x[b, :, p[0], p[1]] + positional_encoding[:, p[0], p[1]] for p in pixels}
        qkv = {p: qkv_weight @ h[p] + qkv_bias for p in pixels}
        for i, j in pixels:
            parts = []
            for head in range(heads):
                keys = slice(head * K // heads, (head + 1) * K // heads)
                values = slice(head * C // heads, (head + 1) * C // heads)
                q = qkv[i, j][:K][keys]
                scores = {p: math.exp(scale * float(q @ qkv[p][K : 2 * K][keys])) for p in pixels}
                total = sum(scores.values())
                parts.append(sum(scores[p] / total * qkv[p][2 * K :][values] for p in pixels))
            y[b, :, i, j] = h[i, j] + gamma * torch.cat(parts)
    return y


@pytest.mark.parametrize("num_heads", [1, 2, 4])
@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_is_the_formula(num_heads, scale, memory_format) -> None:
    tensors = inputs()
    tensors["x"] = tensors["x"].to(memory_format=memory_format)
    settings = {"key_channels": 4, "num_heads": num_heads, "scale": scale}
    result = pixel_attention_block(**tensors, **settings)
    expected = written_out(**tensors, **settings)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
    assert result.is_contiguous(memory_format=memory_format)


def test_neither_bias_nor_encoding_is_needed() -> None:
    tensors = inputs()
    zeros = {name: torch.zeros_like(tensors[name]) for name in ("qkv_bias", "positional_encoding")}
    expected = pixel_attention_block(**tensors | zeros, key_channels=4)
    missing = {"qkv_bias": None, "positional_encoding": None}
    torch.testing.assert_close(
        pixel_attention_block(**tensors | missing, key_channels=4), expected, rtol=0, atol=0
    )


def test_is_the_attention_of_sagan() -> None:
    """As written there: three 1x1 convolutions on maps, softmax over the keys, scale 1."""
    tensors = inputs(C=16, H=5, W=4)
    x, weight, bias = tensors["x"], tensors["qkv_weight"], tensors["qkv_bias"]
    query, key, value = (
        functional.conv2d(x, rows[:, :, None, None], offset).flatten(2)
        for rows, offset in zip(weight.split([4, 4, 16]), bias.split([4, 4, 16]), strict=True)
    )
    attention = torch.bmm(query.permute(0, 2, 1), key).softmax(-1)
    attended = torch.bmm(value, attention.permute(0, 2, 1)).view_as(x)
    tensors["positional_encoding"] = None
    result = pixel_attention_block(**tensors, key_channels=4, scale=1.0)
    torch.testing.assert_close(result, x + tensors["gamma"] * attended)


@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_gradients_are_those_of_the_values(num_heads, memory_format) -> None:
    tensors = inputs(C=4, key_channels=2)
    tensors["x"] = tensors["x"].to(memory_format=memory_format)

    def block(*values: torch.Tensor) -> torch.Tensor:
        named = dict(zip(NAMES, values, strict=True))
        return pixel_attention_block(**named, key_channels=2, num_heads=num_heads)

    assert torch.autograd.gradcheck(block, [t.requires_grad_() for t in tensors.values()])


def test_gamma_zero_hands_the_map_on_and_learns() -> None:
    tensors = {name: t.requires_grad_() for name, t in inputs(gamma=0.0).items()}
    y = pixel_attention_block(**tensors, key_channels=4)
    h = tensors["x"] + tensors["positional_encoding"]
    assert torch.equal(y, h)
    gradient = torch.randn_like(y)
    gradients = torch.autograd.grad(y, list(tensors.values()), gradient)
    gradients = dict(zip(NAMES, gradients, strict=True))
    one = pixel_attention_block(**{**tensors, "gamma": torch.ones(())}, key_channels=4)
    torch.testing.assert_close(gradients["gamma"], ((one - h) * gradient).sum())
    torch.testing.assert_close(gradients["x"], gradient)
    assert not gradients["qkv_weight"].any()
    assert not gradients["qkv_bias"].any()


@pytest.mark.parametrize(("H", "W"), [(1, 1), (5, 7), (7, 7), (9, 9), (16, 16)])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_float32_is_as_exact_as_float32_can_be(H, W, memory_format) -> None:
    exact = inputs(C=32, H=H, W=W)
    x = exact["x"].float().contiguous(memory_format=memory_format)
    result = pixel_attention_block(**to(exact, torch.float32) | {"x": x}, key_channels=4)
    assert result.dtype == torch.float32
    expected = pixel_attention_block(**exact, key_channels=4)
    torch.testing.assert_close(result.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stretch", ["expanded", "transposed", "sliced"])
def test_strides_of_map_and_gradient_do_not_matter(stretch) -> None:
    tensors = inputs(H=3, W=3)
    x, gradient = tensors["x"], torch.randn(2, 8, 3, 3, dtype=torch.float64)
    if stretch == "expanded":
        x, gradient = x[:, :1].expand_as(x), gradient[:, :, :1, :1].expand_as(gradient)
    elif stretch == "transposed":
        x, gradient = x.mT, gradient.transpose(0, 1).contiguous().transpose(0, 1)
    else:
        x, gradient = (t.repeat(1, 1, 2, 2)[:, :, ::2, 1::2] for t in (x, gradient))
    results = []
    for values, handed_back in ((x, gradient), (x.contiguous(), gradient.contiguous())):
        leaf = values.detach().requires_grad_()
        y = pixel_attention_block(**tensors | {"x": leaf}, key_channels=4)
        results.append((y, *torch.autograd.grad(y, leaf, handed_back)))
    for result, expected in zip(*results, strict=True):
        torch.testing.assert_close(result, expected)


def test_a_bad_frame_stays_alone() -> None:
    tensors = {name: t.requires_grad_() for name, t in inputs(B=3).items()}
    expected = pixel_attention_block(**tensors, key_channels=4)
    spoilt = tensors["x"].detach().clone()
    spoilt[1, 0, 0, 0] = torch.nan
    result = pixel_attention_block(**tensors | {"x": spoilt}, key_channels=4)
    assert result[1].isnan().all()
    torch.testing.assert_close(result[[0, 2]], expected[[0, 2]])


def test_without_encoding_the_order_of_pixels_means_nothing() -> None:
    tensors = inputs(H=3, W=5) | {"positional_encoding": None}
    order = torch.randperm(15)

    def shuffled(maps: torch.Tensor) -> torch.Tensor:
        return maps.flatten(2)[:, :, order].view_as(maps)

    result = pixel_attention_block(**tensors | {"x": shuffled(tensors["x"])}, key_channels=4)
    expected = shuffled(pixel_attention_block(**tensors, key_channels=4))
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("gamma_shape", [(), (1,)])
def test_parameters_of_a_wider_type_leave_the_maps_type_alone(gamma_shape) -> None:
    tensors = to(inputs(C=16, H=7, W=7), torch.float32)
    tensors["gamma"] = tensors["gamma"].reshape(gamma_shape)
    expected = pixel_attention_block(**tensors, key_channels=4)
    tensors["x"] = tensors["x"].bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        result = pixel_attention_block(**tensors, key_channels=4)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), expected, rtol=0.05, atol=0.05)


def test_no_frames_give_no_frames() -> None:
    assert pixel_attention_block(**inputs(B=0), key_channels=4).shape == (0, 8, 2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"x": torch.zeros(8, 2, 3)},
            r"found x of torch.float32 \[8, 2, 3\]; expected floating-point \[B, C, H, W\]",
        ),
        (
            {"x": torch.zeros(2, 8, 2, 3, dtype=torch.int64)},
            r"found x of torch.int64 \[2, 8, 2, 3\]; expected floating-point \[B, C, H, W\]",
        ),
        (
            {"qkv_weight": torch.zeros(16, 8)},
            "found x of torch.float64 and qkv_weight of torch.float32; expected one type",
        ),
        ({"qkv_weight": torch.zeros(8, 8).double()}, r"qkv_weight of \[8, 8\]; expected \[16, 8\]"),
        ({"qkv_bias": torch.zeros(8)}, r"qkv_bias of \[8\]; expected \[16\]"),
        (
            {"positional_encoding": torch.zeros(8, 3, 2)},
            r"positional_encoding of \[8, 3, 2\]; expected \[8, 2, 3\]",
        ),
        ({"gamma": torch.zeros(8)}, r"gamma of \[8\]; expected a scalar"),
        ({"num_heads": 3}, "found 3 heads; expected a divisor of 4 key channels and 8 channels"),
        ({"num_heads": 0}, "found 0 heads"),
        ({"key_channels": 0}, "of 0 key channels"),
        ({"backend": "triton"}, "pixel_attention_block: backend 'triton' cannot run"),
    ],
)
def test_what_does_not_fit_is_named(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        pixel_attention_block(**inputs() | {"key_channels": 4} | change)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"gamma": 0.5}, TypeError, "found gamma of type float; expected a torch.Tensor"),
        ({"gamma": torch.ones((), dtype=torch.int64)}, ValueError, "found gamma of torch.int64"),
        ({"x": torch.zeros(2, 8, 2, 3).numpy()}, TypeError, "found x of type ndarray"),
        ({"qkv_bias": [0.0] * 16}, TypeError, "found qkv_bias of type list"),
        ({"positional_encoding": torch.zeros(8, 2, 3).long()}, ValueError, "encoding of torch.int"),
        (
            {"key_channels": 4.0},
            TypeError,
            "found key_channels 4.0 and num_heads 1; expected whole",
        ),
    ],
)
def test_arguments_of_other_kinds_are_named(change, error, message) -> None:
    with pytest.raises(error, match=message):
        pixel_attention_block(**inputs() | {"key_channels": 4} | change)
