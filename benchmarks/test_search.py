"""Beam search with the cached decoder against one that decodes every sequence whole, each step."""

import time
from dataclasses import replace

import pytest
import torch

from benchmarks import comparison
from slt_fast.data.vocabulary import BOS
from slt_fast.inference.search import NextLogits, beam_search
from slt_fast.model.cached_decoder import CachedDecoder
from slt_fast.model.decoder import Decoder
from slt_fast.recipe import RECIPES

CLIPS, FRAMES, BEAM, TOKENS, WORDS = 4, 117, 5, 60, 2891
NO_WORD = WORDS  # an end that no sequence finds, so that all have TOKENS tokens


def whole(decoder: Decoder, memory: torch.Tensor, padding: torch.Tensor) -> NextLogits:
    """Returns the decoder without a cache: the memory is copied for each beam."""
    repeated = [part.repeat_interleave(BEAM, dim=0) for part in (memory, padding)]
    return lambda tokens, _: decoder(tokens, *repeated)[:, -1]


@pytest.mark.parametrize("name", ["paper", "quickstart"])
def test_beam_search(benchmark, name: str) -> None:
    torch.manual_seed(0)
    device = torch.device(comparison.DEVICE)
    config = replace(RECIPES[name].model, backbone_weights="none")
    decoder = Decoder(config, WORDS).eval().to(device)
    memory = torch.randn(CLIPS, FRAMES, config.width, device=device)
    padding = torch.zeros(CLIPS, FRAMES, dtype=torch.bool, device=device)

    @torch.no_grad()
    def search(cached: bool) -> list[list[int]]:
        ours = CachedDecoder(decoder, memory, padding, BEAM)
        found = beam_search(
            ours if cached else whole(decoder, memory, padding),
            num_clips=CLIPS,
            beam_size=BEAM,
            max_length=TOKENS,
            begin=BOS,
            end=NO_WORD,
            device=device,
        )
        return [sequences[0].tokens for sequences in found]

    def seconds(cached: bool) -> float:
        start = time.perf_counter()
        assert all(len(tokens) == TOKENS for tokens in search(cached))
        return time.perf_counter() - start

    assert search(cached=True) == search(cached=False)
    both = (lambda: seconds(cached=True), lambda: seconds(cached=False))
    samples = comparison.in_turns(benchmark, *both, num_pairs=5)
    facts = {"recipe": name, "device": device.type, "clips": str(CLIPS), "beams": str(BEAM)}
    facts |= {"tokens": str(TOKENS), "memory": f"{FRAMES} frames"}
    comparison.add_row(benchmark, comparison.Row("beam_search", facts, *samples.T))
