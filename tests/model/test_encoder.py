import pytest
import torch
from torch import nn

from slt_fast.layers import PositionalEncoding2d
from slt_fast.model.config import ModelConfig
from slt_fast.model.encoder import Encoder
from slt_fast.ops.positional_encoding import sinusoidal_encoding

NUM_GLOSSES = 5
MEMORIES = ["frame", "pixel"]
KERNELS = [0, 5]


def encoder(**settings) -> Encoder:
    config = ModelConfig(
        **{
            "backbone_stages": 1,
            "backbone_weights": "none",
            "gamma_start": 0.5,
            "memory_map_size": (3, 3),
            "width": 16,
            **settings,
        }
    )
    module = Encoder(config, NUM_GLOSSES).eval()
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):  # statistics that do something
            norm.running_mean.normal_(std=0.1)
            norm.running_var.uniform_(0.5, 2)
    return module


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_clip_is_independent_of_the_clips_beside_it(memory, kernel) -> None:
    module = encoder(memory=memory, temporal_convolution=kernel)
    clips = [torch.rand(T, 3, 12, 12) for T in (4, 7, 1)]
    lengths = torch.tensor([len(clip) for clip in clips])
    batch = module(torch.cat(clips), lengths)
    per_frame = 9 if memory == "pixel" else 1
    assert batch.memory.shape == (3, 7 * per_frame, 16)
    assert batch.gloss_logits.shape == (3, 7, NUM_GLOSSES)
    assert torch.equal(batch.lengths, lengths)
    for index, clip in enumerate(clips):
        T, alone = len(clip), module(clip, lengths[index : index + 1])
        mask = batch.memory_padding_mask[index]
        assert not mask[: T * per_frame].any()
        assert mask[T * per_frame :].all()
        assert not alone.memory_padding_mask.any()
        torch.testing.assert_close(batch.memory[index, ~mask], alone.memory[0])
        torch.testing.assert_close(batch.gloss_logits[index, :T], alone.gloss_logits[0])


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_bad_clip_stays_alone(memory, kernel) -> None:
    module = encoder(memory=memory, temporal_convolution=kernel)
    images, lengths = torch.rand(9, 3, 12, 12), torch.tensor([3, 6])
    expected = module(images, lengths)
    images[3:] = torch.nan
    result = module(images, lengths)
    inside = ~expected.memory_padding_mask[0]
    torch.testing.assert_close(result.memory[0, inside], expected.memory[0, inside])
    torch.testing.assert_close(result.gloss_logits[0, :3], expected.gloss_logits[0, :3])
    assert result.memory[1].isnan().all()


@pytest.mark.parametrize("memory", MEMORIES)
def test_memory_carries_the_time(memory) -> None:
    """The same frame again and again differs by the sinusoidal positions, and by nothing else."""
    result = encoder(memory=memory)(torch.rand(1, 3, 12, 12).repeat(5, 1, 1, 1), torch.tensor([5]))
    times = sinusoidal_encoding(5, 16).float()
    frames = result.memory[0].view(5, -1, 16) - times[:, None]
    torch.testing.assert_close(frames, frames[:1].expand_as(frames))
    torch.testing.assert_close(result.gloss_logits[0], result.gloss_logits[0, :1].expand(5, -1))


@pytest.mark.parametrize("kernel", [0, 3, 5])
def test_a_frame_sees_as_far_as_the_convolutions_reach(kernel) -> None:
    images = torch.rand(11, 3, 12, 12)
    module, lengths = encoder(temporal_convolution=kernel), torch.tensor([11])
    expected = module(images, lengths)
    images[5] = 0
    result = module(images, lengths)
    for before, after in (
        (expected.memory, result.memory),
        (expected.gloss_logits, result.gloss_logits),
    ):
        moved = ((after - before).abs() > 1e-6).any(2)[0].nonzero().flatten().tolist()
        reach = 2 * (kernel // 2)
        assert moved == list(range(5 - reach, 6 + reach))


@pytest.mark.parametrize(("H", "W"), [(12, 12), (8, 20), (33, 17), (1, 1)])
@pytest.mark.parametrize("memory", MEMORIES)
def test_images_of_any_size(H, W, memory) -> None:
    result = encoder(memory=memory)(torch.rand(3, 3, H, W), torch.tensor([1, 2]))
    pixels = -(-H // 4) * -(-W // 4) if memory == "pixel" else 1
    assert result.memory.shape == (2, 2 * pixels, 16)
    assert result.memory.isfinite().all()


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize(("H", "W"), [(12, 12), (8, 20), (33, 17)])
def test_a_frame_is_its_whole_map_flattened_or_another_map_pooled(H, W, norm) -> None:
    module, maps = encoder(memory_norm=norm), []
    module.layer.register_forward_hook(lambda *parts: maps.append(parts[-1]))
    result = module(torch.rand(2, 3, H, W), torch.tensor([2]))
    (m,) = maps
    assert ((H, W) == (12, 12)) == (m.shape[2:] == (3, 3))
    flat = nn.functional.adaptive_avg_pool2d(m, (3, 3)).flatten(1)
    linear = module.frame_projection[0]
    vectors = flat @ linear.weight.T + linear.bias
    if norm:
        vectors = nn.functional.layer_norm(vectors, (16,))
    expected = vectors + sinusoidal_encoding(2, 16).float()
    torch.testing.assert_close(result.memory[0], expected, rtol=1e-4, atol=1e-5)


def test_pixel_memory_is_each_pixel_of_the_map_projected() -> None:
    module, maps = encoder(memory="pixel"), []
    module.layer.register_forward_hook(lambda *parts: maps.append(parts[-1]))
    result = module(torch.rand(2, 3, 8, 20), torch.tensor([2]))
    pixels = maps[0].permute(0, 2, 3, 1).flatten(1, 2)  # row by row
    linear = module.pixel_projection[0]
    expected = nn.functional.layer_norm(pixels @ linear.weight.T + linear.bias, (16,))
    expected = expected + sinusoidal_encoding(2, 16).float().unsqueeze(1)
    torch.testing.assert_close(result.memory[0], expected.flatten(0, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [[3, 3], [5, 0], [6, -1], [4], []])
def test_lengths_that_do_not_fit_are_named(lengths) -> None:
    with pytest.raises(
        ValueError, match=f"found lengths {lengths} for 5 images".replace("[", r"\[")
    ):
        encoder()(torch.rand(5, 3, 12, 12), torch.tensor(lengths, dtype=torch.int64))


def test_settings_reach_the_layer() -> None:
    module = encoder(
        key_channels=4,
        attention_heads=2,
        attention_scale=1.5,
        gamma_start=0.25,
        positional_encoding=False,
        norm_placement="pre",
        feed_forward="depthwise",
    )
    attention = module.layer.attention
    assert (attention.key_channels, attention.num_heads, attention.scale) == (4, 2, 1.5)
    assert attention.gamma.item() == 0.25
    assert not attention.positional_encoding
    assert module.layer.norm_placement == "pre"
    assert isinstance(module.layer.feed_forward[0], nn.Sequential)


@pytest.mark.parametrize(("encoding", "kind"), [(True, PositionalEncoding2d), (False, nn.Identity)])
def test_without_attention_the_encoding_is_still_added(encoding, kind) -> None:
    module = encoder(attention=False, positional_encoding=encoding)
    assert type(module.layer.attention) is kind
    without = {name for name, _ in module.named_parameters()}
    attended = {name for name, _ in encoder().named_parameters()} - without
    assert attended == {f"layer.attention.{name}" for name in ("qkv.weight", "qkv.bias", "gamma")}
    assert module(torch.rand(2, 3, 12, 12), torch.tensor([2])).memory.isfinite().all()
