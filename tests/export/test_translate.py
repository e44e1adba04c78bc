"""The program beside the graphs searches and spells as the package does."""

import numpy as np
import pytest
import torch

from slt_fast.data.text import TextUnits, split_text
from slt_fast.export import translate
from slt_fast.inference.ctc import greedy_ctc
from slt_fast.inference.search import beam_search


@pytest.mark.parametrize("beam_size", [1, 2, 5])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 3.0])
def test_the_search_finds_what_the_packages_does(beam_size, length_penalty) -> None:
    for seed in range(20):
        table = torch.randn(40, 7, generator=torch.Generator().manual_seed(seed)) * 2

        def logits_of(tokens: torch.Tensor, table: torch.Tensor = table) -> torch.Tensor:
            weights = torch.arange(1, tokens.shape[1] + 1)
            return table[(tokens * weights).sum(1) % 40]

        def step(tokens, rows, memory, past, logits_of=logits_of):
            return logits_of(torch.from_numpy(tokens)).numpy(), past

        search = {
            "beam_size": beam_size,
            "max_text_length": 6,
            "length_penalty": length_penalty,
            "begin": 1,
            "end": 2,
            "past": [1, 2, 1, 1, 0, 1],
        }
        found = translate.beam_search(step, np.zeros((1, 1, 1), np.float32), search)
        expected = beam_search(
            lambda tokens, rows, logits_of=logits_of: logits_of(tokens),
            num_clips=1,
            beam_size=beam_size,
            max_length=6,
            begin=1,
            end=2,
            length_penalty=length_penalty,
        )
        assert found == expected[0][0].tokens


@pytest.mark.parametrize("units", ["word", "punctuated", "character"])
def test_texts_are_spelled_as_the_package_does(units) -> None:
    text = 'er sagte: "nein, (3.5 grad) don\'t!"'
    parts = split_text(text, units)
    tokens = {
        "text_units": units,
        "special_words": ["<pad>", "<bos>", "<eos>", "<unk>"],
        "words": ["<pad>", "<bos>", "<eos>", "<unk>", *parts],
    }
    assert translate.text_of([*range(4, 4 + len(parts))], tokens) == TextUnits(units).join(parts)
    assert translate.text_of([4, 2], tokens) == TextUnits(units).join(parts[:1])


def test_subwords_are_joined() -> None:
    tokens = {"text_units": "subword", "special_words": ["<pad>"]}
    tokens["words"] = ["<pad>", "\u2581das", "\u2581wet", "ter"]
    assert translate.text_of([1, 2, 3, 0], tokens) == "das wetter"


def test_glosses_are_those_of_the_best_path() -> None:
    tokens = {"special_glosses": ["<blank>", "<unk>"], "glosses": ["<blank>", "<unk>", "A", "B"]}
    logits = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    path = greedy_ctc(logits.unsqueeze(0), torch.tensor([30]))[0]
    expected = " ".join(tokens["glosses"][number] for number in path if number > 1)
    assert expected and translate.glosses_of(logits.numpy(), tokens) == expected
