import pytest
import torch
from torch import nn

from slt_fast.layers import (
    ConvFeedForward,
    PixelAttention2d,
    PixelAttentionLayer,
    PositionalEncoding2d,
)
from slt_fast.ops import add_positional_encoding_2d, pixel_attention

CHANNELS = 16


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def disturbed(module: nn.Module) -> nn.Module:
    """In evaluation mode, with norms that do something."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.weight.data, norm.running_var):
                tensor.uniform_(0.5, 2)
            for tensor in (norm.bias.data, norm.running_mean):
                tensor.normal_()
    return module.eval()


def layer(**settings) -> PixelAttentionLayer:
    encoding = settings.pop("positional_encoding", True)
    attention = PixelAttention2d(CHANNELS, gamma_start=0.7, positional_encoding=encoding)
    return disturbed(PixelAttentionLayer(attention, CHANNELS, **settings))


def attended(attention: PixelAttention2d, h: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(dk)) v of a map, of one head, by the operator beneath."""
    K, C = attention.key_channels, h.shape[1]
    qkv = nn.functional.conv2d(h, attention.qkv.weight[:, :, None, None], attention.qkv.bias)
    q, k, v = (part.flatten(2).mT.unsqueeze(1) for part in qkv.split([K, K, C], dim=1))
    return pixel_attention(q, k, v).squeeze(1).mT.view_as(h)


def test_the_encoding_has_no_parameters_and_any_size() -> None:
    encoding = PositionalEncoding2d()
    assert not encoding.state_dict()
    for size in ((7, 7), (3, 5)):
        x = torch.randn(2, CHANNELS, *size)
        assert torch.equal(encoding(x), add_positional_encoding_2d(x))


@pytest.mark.parametrize("positional_encoding", [True, False])
def test_attention_is_its_operators_joined(positional_encoding) -> None:
    attention = PixelAttention2d(CHANNELS, gamma_start=0.7, positional_encoding=positional_encoding)
    for size in ((7, 7), (2, 5), (1, 1)):
        x = torch.randn(3, CHANNELS, *size)
        h = add_positional_encoding_2d(x) if positional_encoding else x
        torch.testing.assert_close(attention(x), h + 0.7 * attended(attention, h))


@pytest.mark.parametrize("positional_encoding", [True, False])
def test_attention_gives_its_weights(positional_encoding) -> None:
    """With them and its own values, the output can be put together by hand."""
    settings = {"gamma_start": 0.7, "scale": 0.5, "positional_encoding": positional_encoding}
    attention = PixelAttention2d(CHANNELS, key_channels=4, num_heads=2, **settings)
    x = torch.randn(3, CHANNELS, 2, 5)
    weights = attention.attention_weights(x)
    assert weights.shape == (3, 2, 10, 10)
    h = add_positional_encoding_2d(x) if positional_encoding else x
    values = attention.qkv(h.flatten(2).mT)[..., -CHANNELS:].unflatten(2, (2, -1)).transpose(1, 2)
    attended = (weights @ values).transpose(1, 2).flatten(2).mT.view_as(x)
    torch.testing.assert_close(attention(x), h + 0.7 * attended)


def test_attention_as_in_the_paper() -> None:
    attention = PixelAttention2d(512)
    assert (attention.key_channels, attention.num_heads, attention.scale) == (64, 1, None)
    assert attention.gamma.item() == 0
    assert attention.gamma.requires_grad
    assert num_parameters(attention) == (512 + 1) * (64 + 64 + 512) + 1


def test_heads_and_scale_reach_the_operator() -> None:
    x = torch.randn(2, CHANNELS, 3, 3)
    outputs = []
    for settings in ({}, {"num_heads": 2}, {"scale": 1.0}, {"num_heads": 2, "scale": 1.0}):
        torch.manual_seed(0)
        attention = PixelAttention2d(CHANNELS, key_channels=4, gamma_start=1.0, **settings)
        outputs.append(attention(x))
    for first in range(4):
        for second in range(first):
            assert not torch.allclose(outputs[first], outputs[second])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_heads": 3}, "found 3 heads; expected a divisor of 16 channels"),
        ({"num_heads": 4}, "found 4 heads; expected .* 2 key channels"),
        ({"num_heads": 0}, "found 0 heads"),
        ({"key_channels": 0}, "0 key channels"),
        ({"channels": 10, "key_channels": 2}, "found 10 channels; expected"),
        ({"backend": "triton"}, "backend 'triton' cannot run"),
    ],
)
def test_attention_that_cannot_be_is_named(settings, message) -> None:
    channels = settings.pop("channels", CHANNELS)
    with pytest.raises(ValueError, match=message):
        PixelAttention2d(channels, **settings)(torch.zeros(1, channels, 2, 2))


def test_feed_forward_is_two_convolutions() -> None:
    module = disturbed(ConvFeedForward(CHANNELS))
    first, norm, _, second = module
    x = torch.randn(2, CHANNELS, 4, 5)
    hidden = nn.functional.conv2d(x, first.weight, padding=1)
    mean, variance = norm.running_mean[:, None, None], norm.running_var[:, None, None]
    hidden = (hidden - mean) / (variance + norm.eps).sqrt()
    hidden = (hidden * norm.weight[:, None, None] + norm.bias[:, None, None]).clamp(min=0)
    expected = nn.functional.conv2d(hidden, second.weight, padding=1)
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)
    assert num_parameters(module) == 2 * 9 * CHANNELS**2 + 2 * CHANNELS


def test_depthwise_feed_forward_is_smaller_and_sees_as_far() -> None:
    module = ConvFeedForward(CHANNELS, depthwise=True).eval()
    assert num_parameters(module) == 2 * (9 * CHANNELS + CHANNELS**2) + 2 * CHANNELS
    x = torch.randn(1, CHANNELS, 7, 7, requires_grad=True)
    (gradient,) = torch.autograd.grad(module(x)[0, :, 3, 3].sum(), x)
    seen = gradient[0].abs().sum(0) > 0
    assert torch.equal(seen.nonzero().amin(0), torch.tensor([1, 1]))
    assert torch.equal(seen.nonzero().amax(0), torch.tensor([5, 5]))
    assert gradient.abs().sum((2, 3)).all()  # every channel reaches every other


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("positional_encoding", [True, False])
def test_layer_with_norms_after(depthwise, positional_encoding) -> None:
    module = layer(depthwise=depthwise, positional_encoding=positional_encoding)
    x = torch.randn(3, CHANNELS, 5, 4)
    h = add_positional_encoding_2d(x) if positional_encoding else x
    y = module.attention_norm(h + 0.7 * attended(module.attention, h))
    z = module.feed_forward_norm(y + module.feed_forward(y))
    torch.testing.assert_close(module(x), z, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("positional_encoding", [True, False])
def test_layer_with_norms_before(positional_encoding) -> None:
    module = layer(norm_placement="pre", positional_encoding=positional_encoding)
    x = torch.randn(3, CHANNELS, 5, 4)
    add = add_positional_encoding_2d if positional_encoding else nn.Identity()
    y = add(x) + 0.7 * attended(module.attention, add(module.attention_norm(x)))
    z = y + module.feed_forward(module.feed_forward_norm(y))
    torch.testing.assert_close(module(x), z, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm_placement", ["post", "pre"])
@pytest.mark.parametrize("positional_encoding", [True, False])
def test_layer_without_attention_is_one_whose_gamma_is_zero(
    norm_placement, positional_encoding
) -> None:
    module = layer(norm_placement=norm_placement, positional_encoding=positional_encoding)
    x = torch.randn(3, CHANNELS, 5, 4)
    with_attention = module(x)
    module.attention.gamma.data.zero_()
    expected = module(x)
    module.attention = PositionalEncoding2d() if positional_encoding else nn.Identity()
    torch.testing.assert_close(module(x), expected)
    assert not torch.allclose(with_attention, expected, atol=1e-2)


@pytest.mark.parametrize("norm_placement", ["post", "pre"])
def test_layer_trains_in_either_memory_format(norm_placement) -> None:
    module = layer(norm_placement=norm_placement).double().train()
    x = torch.randn(4, CHANNELS, 3, 5, dtype=torch.float64)
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        leaf = x.clone(memory_format=memory_format).requires_grad_()
        y = module(leaf)
        gradients = torch.autograd.grad(y.square().sum(), (leaf, *module.parameters()))
        assert y.is_contiguous(memory_format=memory_format)
        results.append((y, *gradients))
    for contiguous, channels_last in zip(*results, strict=True):
        torch.testing.assert_close(contiguous, channels_last)
        assert contiguous.any()


def test_unknown_norm_placement_is_named() -> None:
    with pytest.raises(ValueError, match="norm_placement: found 'middle'; expected post or pre"):
        layer(norm_placement="middle")


def test_inputs_that_are_no_maps_are_named() -> None:
    for module in (PixelAttention2d(CHANNELS), PositionalEncoding2d()):
        with pytest.raises(ValueError, match=r"found torch.float32 of \[16, 2, 2\]; expected"):
            module(torch.zeros(CHANNELS, 2, 2))
        with pytest.raises(TypeError, match="found x of type ndarray; expected a torch.Tensor"):
            module(torch.zeros(1, CHANNELS, 2, 2).numpy())
