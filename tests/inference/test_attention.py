from dataclasses import replace

import pytest
import torch

from slt_fast.checkpoint import TrainedModel, build_network
from slt_fast.data.vocabulary import BOS, EOS
from slt_fast.inference.attention import attention_of
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
