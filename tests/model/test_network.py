import pytest
import torch

from slt_fast.inference.ctc import greedy_ctc
from slt_fast.inference.search import beam_search
from slt_fast.model.cached_decoder import CachedDecoder
from slt_fast.model.config import ModelConfig
from slt_fast.model.network import TranslationNetwork
from slt_fast.training.losses import Counts, translation_loss

TEXT = torch.tensor([[1, 4, 5, 6, 2], [1, 6, 4, 2, 0]])
GLOSSES, GLOSS_LENGTHS = torch.tensor([[2, 3, 2], [3, 2, 0]]), torch.tensor([3, 2])
COUNTS = Counts(text=7, ctc=5)
VARIANTS = [
    {},
    {"memory": "pixel", "temporal_convolution": 3},
    {"norm_placement": "pre", "feed_forward": "depthwise", "attention_heads": 2},
    {"positional_encoding": False, "attention_scale": 1.0, "key_channels": 16},
]


def network(**settings) -> TranslationNetwork:
    config = ModelConfig(
        **{
            "backbone_stages": 1,
            "backbone_weights": "none",
            "gamma_start": 0.5,
            "memory_map_size": (3, 3),
            "width": 32,
            "decoder_layers": 1,
            "decoder_feed_forward": 64,
            "dropout": 0.0,
            **settings,
        }
    )
    return TranslationNetwork(config, num_glosses=4, num_words=8)


def clips() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(11, 3, 12, 12), torch.tensor([6, 5])


@pytest.mark.parametrize("settings", VARIANTS)
def test_every_weight_learns(settings) -> None:
    model = network(**settings)
    output = model(*clips(), TEXT)
    assert output.gloss_logits.shape == (2, 6, 4)
    assert output.gloss_lengths.tolist() == [6, 5]
    assert output.text_logits.shape == (2, 4, 8)
    total, _ = translation_loss(output, GLOSSES, GLOSS_LENGTHS, TEXT, COUNTS)
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("settings", VARIANTS)
def test_autocast_comes_close(settings) -> None:
    model, (images, lengths) = network(**settings), clips()
    expected = model(images, lengths, TEXT)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(images, lengths, TEXT)
    for half, single in zip(output[::2], expected[::2], strict=True):
        assert (half - single).abs().max() < 0.15 * single.std() + 0.05
    total, parts = translation_loss(output, GLOSSES, GLOSS_LENGTHS, TEXT, COUNTS)
    assert {total.dtype, *(part.dtype for part in parts.values())} == {torch.float32}
    total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_forward_is_encode_and_decode_of_all_but_the_last_token() -> None:
    model, (images, lengths) = network().eval(), clips()
    output, encoded = model(images, lengths, TEXT), model.encode(images, lengths)
    torch.testing.assert_close(output.gloss_logits, encoded.gloss_logits)
    torch.testing.assert_close(output.text_logits, model.decode(encoded, TEXT[:, :-1]))


@pytest.mark.parametrize("memory", ["frame", "pixel"])
def test_learns_two_clips_by_heart(memory) -> None:
    model, (images, lengths) = network(memory=memory), clips()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        total, _ = translation_loss(
            model(images, lengths, TEXT), GLOSSES, GLOSS_LENGTHS, TEXT, COUNTS
        )
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        encoded = model.encode(images, lengths)
        texts = beam_search(
            CachedDecoder(model.decoder, encoded.memory, encoded.memory_padding_mask, 2),
            num_clips=2,
            beam_size=2,
            max_length=8,
            begin=1,
            end=2,
        )
    assert [found[0].tokens for found in texts] == [[4, 5, 6], [6, 4]]
    assert greedy_ctc(encoded.gloss_logits, encoded.lengths) == [[2, 3, 2], [3, 2]]
