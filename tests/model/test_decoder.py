import dataclasses

import pytest
import torch

from slt_fast.model.config import ModelConfig
from slt_fast.model.decoder import Decoder

CONFIG = ModelConfig(width=16, decoder_layers=2, decoder_feed_forward=32)
NUM_WORDS = 11


@pytest.fixture
def decoder() -> Decoder:
    return Decoder(CONFIG, NUM_WORDS).eval()


@pytest.fixture
def memory() -> torch.Tensor:
    return torch.randn(2, 6, 16)


def no_padding(memory: torch.Tensor) -> torch.Tensor:
    return torch.zeros(memory.shape[:2], dtype=torch.bool)


def test_a_token_sees_itself_and_those_before(decoder, memory) -> None:
    tokens = torch.randint(NUM_WORDS, (2, 7))
    expected = decoder(tokens, memory, no_padding(memory))
    assert expected.shape == (2, 7, NUM_WORDS)
    tokens[:, 4] = (tokens[:, 4] + 1) % NUM_WORDS
    changed = (decoder(tokens, memory, no_padding(memory)) - expected).abs().amax((0, 2))
    assert (changed[:4] < 1e-6).all()
    assert (changed[4:] > 1e-6).all()


def test_padding_of_the_memory_is_not_seen(decoder, memory) -> None:
    tokens, padding = torch.randint(NUM_WORDS, (2, 7)), no_padding(memory)
    expected = decoder(tokens, memory, padding)
    padding[0, 4:] = True
    alone = decoder(tokens[:1], memory[:1, :4], no_padding(memory[:1, :4]))
    memory[0, 4:] = 1e4
    result = decoder(tokens, memory, padding)
    torch.testing.assert_close(result[:1], alone)
    torch.testing.assert_close(result[1:], expected[1:])


def test_every_place_of_the_memory_is_seen(decoder, memory) -> None:
    memory.requires_grad_()
    decoder(torch.tensor([[1], [1]]), memory, no_padding(memory)).square().sum().backward()
    assert (memory.grad.abs().sum(2) > 0).all()


def test_words_have_places(decoder, memory) -> None:
    logits = decoder(torch.full((2, 6), 5), memory, no_padding(memory))
    differences = (logits[:, :, None] - logits[:, None]).abs().amax((0, 3))
    assert (differences[~torch.eye(6, dtype=torch.bool)] > 1e-4).all()


def test_sentences_of_any_length(decoder, memory) -> None:
    logits = decoder(torch.randint(NUM_WORDS, (2, 700)), memory, no_padding(memory))
    assert logits.shape == (2, 700, NUM_WORDS)
    assert logits.isfinite().all()


def test_the_settings_are_the_networks() -> None:
    layers = Decoder(ModelConfig(width=32, decoder_layers=4), NUM_WORDS).layers.layers
    assert len(layers) == 4
    assert all(layer.self_attn.num_heads == layer.multihead_attn.num_heads == 4 for layer in layers)
    assert {layer.linear1.out_features for layer in layers} == {2048}


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_norm_placement(placement: str, memory) -> None:
    """After the sublayers, a layer's output is normalised; before, only the whole decoder's is."""
    config = dataclasses.replace(CONFIG, decoder_norm_placement=placement)
    decoder = Decoder(config, NUM_WORDS).eval()
    first = []
    decoder.layers.layers[0].register_forward_hook(lambda *values: first.append(values[-1]))
    decoder(torch.randint(NUM_WORDS, (2, 7)), memory, no_padding(memory))
    is_normalised = torch.allclose(first[0].std(-1, unbiased=False), torch.ones(2, 7), atol=1e-3)
    assert is_normalised == (placement == "post")
    assert (decoder.layers.norm is None) == (placement == "post")


def test_start_values_of_the_words() -> None:
    for std in (0.1, 0.5):
        weight = Decoder(ModelConfig(embedding_std=std), 1000).embedding.weight
        assert weight.std().item() == pytest.approx(std, rel=0.02)
