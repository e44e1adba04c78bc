import itertools
import math
from collections import defaultdict

import pytest
import torch

from slt_fast.inference.ctc import greedy_ctc, prefix_beam_search


def merged(path: tuple[int, ...]) -> tuple[int, ...]:
    """What a path spells: repeats merged, then blanks dropped."""
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


def likeliest(logits: torch.Tensor) -> tuple[int, ...]:
    """The best sequence by the sum over all its paths."""
    probabilities = logits.double().softmax(-1).tolist()
    totals = defaultdict(float)
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        steps = zip(probabilities, path, strict=True)
        totals[merged(path)] += math.prod(step[token] for step, token in steps)
    return max(totals, key=totals.get)


def plain_prefix_beam_search(logits: torch.Tensor, beam_size: int) -> list[int]:
    """The textbook's, in probabilities, each prefix grown by every token."""
    beams = {(): (1.0, 0.0)}
    for step in logits.double().softmax(-1).tolist():
        grown = defaultdict(lambda: [0.0, 0.0])
        for prefix, (blank, token) in beams.items():
            grown[prefix][0] += (blank + token) * step[0]
            for number in range(1, len(step)):
                repeated = prefix[-1:] == (number,)
                if repeated:
                    grown[prefix][1] += token * step[number]
                ways = blank if repeated else blank + token
                grown[(*prefix, number)][1] += ways * step[number]
        best = sorted(grown, key=lambda prefix: -sum(grown[prefix]))[:beam_size]
        beams = {prefix: tuple(grown[prefix]) for prefix in best}
    return list(max(beams, key=lambda prefix: sum(beams[prefix])))


@pytest.mark.parametrize(
    ("path", "length", "expected"),
    [
        ([1, 1, 0, 1, 2, 2], 6, [1, 1, 2]),
        ([0, 0, 0, 0, 0, 0], 6, []),
        ([3, 0, 0, 3, 3, 1], 4, [3, 3]),
        ([2, 1, 2, 2, 0, 2], 1, [2]),
    ],
)
def test_greedy_merges_repeats_and_drops_blanks(path, length, expected) -> None:
    logits = torch.nn.functional.one_hot(torch.tensor(path), 4).float()
    other = torch.tensor([1, 2, 3, 0, 0, 0])
    batch = torch.stack([logits, torch.nn.functional.one_hot(other, 4).float()])
    assert greedy_ctc(batch, torch.tensor([length, 6])) == [expected, [1, 2, 3]]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("T", "G"), [(1, 4), (4, 2), (4, 4), (6, 3)])
def test_a_wide_beam_finds_the_likeliest_of_all(seed, T, G) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 1.5 * torch.randn(T, G, generator=generator)
    assert tuple(prefix_beam_search(logits, beam_size=2000)) == likeliest(logits)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("beam_size", [1, 2, 3, 5])
def test_leaving_out_unlikely_tokens_changes_nothing(seed, beam_size) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(12, 30, generator=generator)
    expected = plain_prefix_beam_search(logits, beam_size)
    assert prefix_beam_search(logits, beam_size=beam_size) == expected


def test_a_sum_of_paths_beats_the_best_path() -> None:
    """Graves' example: each path through the token is less likely than two blanks, not all."""
    logits = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()
    assert greedy_ctc(logits.unsqueeze(0), torch.tensor([2])) == [[]]
    assert prefix_beam_search(logits, beam_size=4) == [1]


def test_a_token_may_last_where_others_are_likelier() -> None:
    """Blank and repeat together, 0.49, keep the 1 alone; neither does so without the other."""
    logits = torch.tensor([[0, 1, 0, 0], [0.25, 0.24, 0.26, 0.25]]).log()
    assert plain_prefix_beam_search(logits, 1) == [1]
    assert prefix_beam_search(logits, beam_size=1) == [1]


def test_impossible_tokens_are_not_chosen() -> None:
    logits = torch.tensor([[-torch.inf, 0, -torch.inf], [0, -torch.inf, -torch.inf]])
    assert prefix_beam_search(logits, beam_size=5) == [1]


def test_an_empty_clip_spells_nothing() -> None:
    assert prefix_beam_search(torch.zeros(0, 3), beam_size=2) == []


def test_a_beam_of_nothing_is_named() -> None:
    with pytest.raises(ValueError, match="found beam_size 0; expected at least 1"):
        prefix_beam_search(torch.zeros(2, 3), beam_size=0)
