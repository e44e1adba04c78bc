import dataclasses

import pytest
import torch

from slt_fast.data.vocabulary import BOS, EOS
from slt_fast.inference.search import beam_search
from slt_fast.model.cached_decoder import CachedDecoder
from slt_fast.model.config import ModelConfig
from slt_fast.model.decoder import Decoder

NUM_WORDS = 11


def random_decoder(seed: int) -> tuple[Decoder, torch.Tensor, torch.Tensor]:
    """A decoder of random sizes, memory [B, N, D] of clips of random lengths and its padding."""
    draw = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=draw))

    config = dataclasses.replace(
        ModelConfig(backbone_weights="none"),
        width=8 * number(1, 4),
        decoder_heads=(1, 2, 4)[number(0, 2)],
        decoder_layers=number(1, 3),
        decoder_feed_forward=number(4, 20),
        decoder_norm_placement=("pre", "post")[number(0, 1)],
    )
    torch.manual_seed(seed)
    decoder = Decoder(config, NUM_WORDS).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(2).add_(0.1 * torch.randn_like(parameter))
    lengths = torch.tensor([number(1, 9) for _ in range(number(1, 4))])
    padding = torch.arange(int(lengths.max())) >= lengths.unsqueeze(1)
    return decoder, torch.randn(*padding.shape, config.width), padding


@torch.no_grad()
def searched(decoder, memory, padding, beam_size: int, max_length: int, *, cached: bool) -> list:
    repeated = [part.repeat_interleave(beam_size, dim=0) for part in (memory, padding)]

    def uncached(tokens: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return decoder(tokens, *repeated)[:, -1]

    found = beam_search(
        CachedDecoder(decoder, memory, padding, beam_size) if cached else uncached,
        num_clips=len(memory),
        beam_size=beam_size,
        max_length=max_length,
        begin=BOS,
        end=EOS,
    )
    return [[one.tokens for one in sequences] for sequences in found]


@pytest.mark.parametrize("seed", range(200))
def test_the_search_equals_the_uncached_one(seed: int) -> None:
    model, beam_size, max_length = random_decoder(seed), 1 + seed % 4, 1 + seed % 13
    found = searched(*model, beam_size, max_length, cached=True)
    assert found == searched(*model, beam_size, max_length, cached=False)


@pytest.mark.parametrize("seed", range(8))
def test_logits_of_each_length(seed: int) -> None:
    """Sequences change places, as a search makes them."""
    decoder, memory, padding = random_decoder(seed)
    K, B = 3, len(memory)
    cached = CachedDecoder(decoder, memory, padding, K)
    repeated = [part.repeat_interleave(K, dim=0) for part in (memory, padding)]
    tokens, rows = torch.full((B * K, 1), BOS), torch.arange(B * K)
    for _ in range(7):
        with torch.no_grad():
            expected = decoder(tokens, *repeated)[:, -1]
            torch.testing.assert_close(cached(tokens, rows), expected, rtol=1e-4, atol=1e-5)
        places = torch.randint(K, (B, K)) + K * torch.arange(B).unsqueeze(1)
        rows = places.flatten()
        tokens = torch.cat([tokens[rows], torch.randint(NUM_WORDS, (B * K, 1))], dim=1)


def test_padding_is_not_seen() -> None:
    decoder, memory, padding = random_decoder(5)
    assert padding.any()
    changed = torch.where(padding.unsqueeze(-1), 100.0, memory)
    rows = torch.arange(len(memory) * 2)
    tokens = torch.full((len(rows), 1), BOS)
    with torch.no_grad():
        ours, theirs = (
            CachedDecoder(decoder, each, padding, 2)(tokens, rows) for each in (memory, changed)
        )
    torch.testing.assert_close(ours, theirs)
