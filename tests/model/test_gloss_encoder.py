from dataclasses import replace

import pytest
import torch

from slt_fast.model.cached_decoder import CachedDecoder
from slt_fast.model.config import ModelConfig
from slt_fast.model.network import TranslationNetwork

CONFIG = ModelConfig(
    width=32, encoder_layers=2, decoder_layers=2, decoder_feed_forward=48, dropout=0.1
)
GLOSSES, LENGTHS = torch.tensor([3, 5, 2, 4, 4, 6, 7]), torch.tensor([3, 4])


def network(config: ModelConfig = CONFIG) -> TranslationNetwork:
    return TranslationNetwork(config, num_glosses=9, num_words=8, takes_glosses=True).eval()


@pytest.mark.parametrize("placement", ["pre", "post"])
@pytest.mark.parametrize("has_gradient", [True, False])  # torch has another path without
def test_a_clip_is_the_same_alone_and_beside_a_longer_one(placement, has_gradient: bool) -> None:
    model = network(ModelConfig(width=32, encoder_layers=2, decoder_norm_placement=placement))
    with torch.set_grad_enabled(has_gradient):
        both = model.encode(GLOSSES, LENGTHS)
        alone = model.encode(GLOSSES[:3], LENGTHS[:1])
    assert both.memory_padding_mask.tolist() == [[False] * 3 + [True], [False] * 4]
    torch.testing.assert_close(both.memory[:1, :3], alone.memory, rtol=1e-5, atol=1e-5)
    assert both.gloss_logits.shape == (2, 4, 0)


def test_order_and_glosses_matter() -> None:
    model, length = network(), torch.tensor([2])
    first, swapped, other = (
        model.encode(torch.tensor(glosses), length).memory for glosses in ([3, 5], [5, 3], [3, 6])
    )
    assert not torch.allclose(first.flip(1), swapped, atol=1e-2)
    assert not torch.allclose(first, other, atol=1e-2)


def test_settings_of_images_change_nothing() -> None:
    """All but those that docs/training.md names as settings of a model that takes glosses."""
    others = {
        "backbone": "r3d_18",
        "backbone_stages": 2,
        "backbone_weights": "gone.pth",
        "attention": False,
        "gamma_start": 0.5,
        "positional_encoding": False,
        "norm_placement": "pre",
        "feed_forward": "depthwise",
        "memory": "pixel",
        "memory_map_size": (3, 3),
        "memory_norm": False,
        "temporal_convolution": 5,
        "backend": "reference",
    }
    of_attention = {"key_channels": 8, "attention_heads": 2, "attention_scale": 2.0}
    matters = {"width", "encoder_layers", "embedding_std", "dropout"}
    named = {*others, *of_attention, *matters}
    assert {name for name in vars(CONFIG) if not name.startswith("decoder_")} == named
    found = []
    for settings in ({}, others, of_attention):
        torch.manual_seed(0)
        model = network(replace(CONFIG, **settings)).train()  # with dropout
        output = model(GLOSSES, LENGTHS, torch.tensor([[1, 4, 5, 2], [1, 6, 2, 0]]))
        found.append(output.text_logits)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_every_weight_gets_a_gradient() -> None:
    model = network().train()
    output = model(GLOSSES, LENGTHS, torch.tensor([[1, 4, 5, 2], [1, 6, 2, 0]]))
    assert output.text_logits.shape == (2, 3, 8)
    output.text_logits.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    used = model.encoder.embedding.weight.grad.any(dim=1)
    assert used.nonzero().flatten().tolist() == [2, 3, 4, 5, 6, 7]  # and no padding


def test_the_cached_decoder_equals_the_whole_one_on_padded_glosses() -> None:
    model, tokens = network(), torch.tensor([[1, 4, 5], [1, 6, 7]])
    with torch.no_grad():
        encoded = model.encode(GLOSSES, LENGTHS)
        whole = model.decode(encoded, tokens)
        cached = CachedDecoder(model.decoder, encoded.memory, encoded.memory_padding_mask, 1)
        for length in (1, 2, 3):
            step = cached(tokens[:, :length], torch.arange(2))
            torch.testing.assert_close(step, whole[:, length - 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [[3, 3], [7, 0], []])
def test_lengths_that_do_not_fit(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match=r"encoder: found lengths .* for 7 glosses; expected pos"):
        network().encode(GLOSSES, torch.tensor(lengths, dtype=torch.long))
