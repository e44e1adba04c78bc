from dataclasses import replace

import pytest
import torch

from slt_fast.checkpoint import TrainedModel, build_network
from slt_fast.data.vocabulary import BOS, EOS
from slt_fast.inference.attention import attention_of, far_share, uniform_far_share
from slt_fast.ops.positional_encoding import positional_encoding_2d
from tests.inference.test_translate import batch

TOKENS = [4, 6]


def clip(*images: torch.Tensor):
    return replace(batch(*images), clips=(None,) * len(images))


@pytest.mark.parametrize("memory", ["frame", "pixel"])
def test_weights_of_frames_and_positions(trained: TrainedModel, memory: str) -> None:
    recipe = replace(trained.recipe, model=replace(trained.recipe.model, memory=memory))
    network = build_network(recipe, trained.vocabularies).eval()
    trained = replace(trained, network=network, recipe=recipe)
    images = torch.rand(5, 3, 32, 32)
    found = attention_of(trained, clip(images), TOKENS)
    assert found.positions.shape == (5, 8, 8) and found.frames.shape == (3, 5)
    torch.testing.assert_close(found.positions.sum((1, 2)), torch.ones(5))
    torch.testing.assert_close(found.frames.sum(1), torch.ones(3))
    with torch.no_grad():
        maps = network.encoder.backbone(images)
        assert network.encoder.layer.norm_placement == "post"  # so the attention sees the maps
        weights = network.encoder.layer.attention.attention_weights(maps)
    torch.testing.assert_close(found.positions.flatten(1), weights.mean((1, 2)))


def test_a_frame_that_the_decoder_is_made_to_see(trained: TrainedModel) -> None:
    """The weights are the decoder's own: they follow what its attention is given."""
    images = torch.rand(4, 3, 32, 32)
    before = attention_of(trained, clip(images), TOKENS).frames
    attention = trained.network.decoder.layers.layers[0].multihead_attn
    with torch.no_grad():
        attention.in_proj_weight[: attention.embed_dim].zero_()  # queries
        attention.in_proj_bias.zero_()
    after = attention_of(trained, clip(images), TOKENS).frames
    torch.testing.assert_close(after, torch.full((3, 4), 0.25))
    assert (before - 0.25).abs().max() > 1e-3


def test_the_network_is_left_as_it_was(trained: TrainedModel) -> None:
    images, text = torch.rand(4, 3, 32, 32), torch.tensor([[BOS, *TOKENS, EOS]])
    lengths = torch.tensor([4])
    with torch.no_grad():
        before = trained.network(images, lengths, text)
        attention_of(trained, clip(images), TOKENS)
        after = trained.network(images, lengths, text)
    assert torch.equal(before.text_logits, after.text_logits)
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in trained.network.modules()
    )


def test_looking_takes_the_memory_of_one_frame(trained: TrainedModel, monkeypatch) -> None:
    attention, sizes = trained.network.encoder.layer.attention, []
    real = attention.attention_weights
    monkeypatch.setattr(attention, "attention_weights", lambda x: sizes.append(len(x)) or real(x))
    attention_of(trained, clip(torch.rand(6, 3, 32, 32)), TOKENS)
    assert sizes == [1] * 6


def test_one_clip_at_a_time(trained: TrainedModel) -> None:
    two = clip(torch.rand(2, 3, 32, 32), torch.rand(3, 3, 32, 32))
    with pytest.raises(ValueError, match="attention_of: found 2 clips; expected one"):
        attention_of(trained, two, TOKENS)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (2, 2), (7, 7), (5, 8), (1, 6)])
def test_far_attention(h: int, w: int) -> None:
    N = h * w
    uniform = torch.full((2, 3, N, N), 1 / N)
    assert far_share(uniform, h, w) == pytest.approx(uniform_far_share(h, w), abs=1e-6)
    assert far_share(torch.eye(N), h, w) == 0
    places = [(row, column) for row in range(h) for column in range(w)]
    far = [
        ((a - c) ** 2 + (b - d) ** 2) ** 0.5 > max(h, w) / 2 for a, b in places for c, d in places
    ]
    assert uniform_far_share(h, w) == pytest.approx(sum(far) / len(far))
    assert uniform_far_share(h, w) > 0 or N == 1
    corner = torch.eye(N)
    corner[0] = corner[-1]  # one corner looks at the one across
    assert far_share(corner, h, w) == pytest.approx((N > 1) / N)


def set_attention(trained: TrainedModel, *, gamma: float, queries: float = 1.0):
    attention = trained.network.encoder.layer.attention
    with torch.no_grad():
        attention.gamma.fill_(gamma)
        attention.qkv.weight[: attention.key_channels].mul_(queries)
        attention.qkv.bias[: attention.key_channels].mul_(queries)
    return attention


def test_how_much_the_attention_changes(trained: TrainedModel) -> None:
    images = torch.rand(3, 3, 32, 32)
    attention = set_attention(trained, gamma=0.0)
    none = attention_of(trained, clip(images), TOKENS)
    assert none.gamma == 0 and none.change == 0
    assert none.describe()[-1].startswith("That is hardly anything")
    set_attention(trained, gamma=0.5)
    some = attention_of(trained, clip(images), TOKENS)
    with torch.no_grad():
        x = trained.network.encoder.backbone(images)
        before = x + positional_encoding_2d(*x.shape[1:])
        change = (attention(x) - before).norm() / before.norm()
    assert some.gamma == 0.5 and some.change == pytest.approx(float(change), rel=1e-3)
    assert len(some.describe()) == 2 and some.change > 0.01


def test_what_is_normed_before_is_compared_with_the_map_itself(trained: TrainedModel) -> None:
    recipe = replace(trained.recipe, model=replace(trained.recipe.model, norm_placement="pre"))
    network = build_network(recipe, trained.vocabularies).eval()
    trained = replace(trained, network=network, recipe=recipe)
    attention, norm = set_attention(trained, gamma=0.5), network.encoder.layer.attention_norm
    norm.running_var.fill_(0.01)  # so that a normed map is ten times as long
    images = torch.rand(3, 3, 32, 32)
    found = attention_of(trained, clip(images), TOKENS)
    with torch.no_grad():
        x = network.encoder.backbone(images)
        before = x + positional_encoding_2d(*x.shape[1:])
        added = attention(norm(x)) - attention.residual(norm(x))
    assert found.change == pytest.approx(float(added.norm() / before.norm()), rel=1e-3)


def test_the_place_that_looks(trained: TrainedModel) -> None:
    images = torch.rand(3, 3, 32, 32)
    attention = set_attention(trained, gamma=0.5, queries=5.0)
    with torch.no_grad():
        weights = attention.attention_weights(trained.network.encoder.backbone(images))[:, 0]
    found = attention_of(trained, clip(images), TOKENS)
    entropy = -(weights * weights.clamp_min(1e-30).log()).sum(2)
    numbers = found.queries[:, 0] * 8 + found.queries[:, 1]
    torch.testing.assert_close(entropy[range(3), numbers], entropy.min(1).values)
    own = torch.stack([weights[t, number] for t, number in enumerate(numbers)])
    torch.testing.assert_close(found.query_positions.flatten(1), own)
    assert found.far_share == pytest.approx(far_share(weights, 8, 8), rel=1e-5)
    for place, cell in (((0, 0), [0, 0]), ((1, 1), [7, 7]), ((0.3, 0.9), [7, 2])):
        asked = attention_of(trained, clip(images), TOKENS, query=place)
        assert asked.queries.tolist() == [cell] * 3
        own = weights[:, cell[0] * 8 + cell[1]]
        torch.testing.assert_close(asked.query_positions.flatten(1), own)


def test_the_word_of_a_frame(trained: TrainedModel) -> None:
    found = attention_of(trained, clip(torch.rand(3, 3, 32, 32)), TOKENS)
    found.frames[:] = torch.tensor([[0.1, 0.5, 0.4], [0.3, 0.1, 0.6], [0.9, 0.05, 0.05]])
    assert [found.word_at(t) for t in range(3)] == [1, 0, 1]
    assert attention_of(trained, clip(torch.rand(3, 3, 32, 32)), []).word_at(0) == -1
