import itertools
import math
from collections import defaultdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slt_fast.data.vocabulary import BLANK
from slt_fast.errors import UserError
from slt_fast.inference.ctc import ctc_beam_search, greedy_ctc


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


def drawn(B: int, T: int, G: int, seed: int = 0, spread: float = 2.0) -> torch.Tensor:
    return spread * torch.randn(B, T, G, generator=torch.Generator().manual_seed(seed))


def summed_over_alignments(logits: torch.Tensor) -> dict[tuple[int, ...], float]:
    """Probabilities of all labellings of a clip [T, G]."""
    T, G = logits.shape
    steps, sums = logits.double().softmax(-1), defaultdict(float)
    for path in itertools.product(range(G), repeat=T):
        labels = tuple(token for token, _ in itertools.groupby(path) if token != BLANK)
        sums[labels] += math.prod(steps[t, token].item() for t, token in enumerate(path))
    return sums


@given(st.integers(0, 4), st.integers(2, 4), st.integers(0, 10**6), st.sampled_from([0.1, 1, 4]))
def test_a_wide_beam_finds_all_labellings(T: int, G: int, seed: int, spread: float) -> None:
    logits = drawn(1, T, G, seed, spread)
    expected = summed_over_alignments(logits[0])
    (found,) = ctc_beam_search(logits, torch.tensor([T]), beam_size=len(expected) + 5)
    probabilities = {tuple(one.tokens): math.exp(one.log_probability) for one in found}
    assert len(found) == len(expected)
    assert probabilities == pytest.approx(expected, rel=1e-4)
    scores = [one.log_probability for one in found]
    assert scores == sorted(scores, reverse=True)


def exact(logits: torch.Tensor, length: int, tokens: list[int]) -> float:
    """Log probability of a labelling of a clip [T, G] by torch's CTC loss."""
    steps = logits.double().log_softmax(-1).unsqueeze(1)
    sizes = torch.tensor([length]), torch.tensor([len(tokens)])
    loss = torch.nn.functional.ctc_loss(steps, torch.tensor([tokens]), *sizes, reduction="sum")
    return -loss.item()


@pytest.mark.parametrize("seed", range(4))
def test_probabilities_are_those_of_the_ctc_loss(seed: int) -> None:
    logits, lengths = drawn(2, 8, 3, seed), torch.tensor([8, 6])
    for clip, found in enumerate(ctc_beam_search(logits, lengths, beam_size=2**9)):
        assert sum(math.exp(one.log_probability) for one in found) == pytest.approx(1)  # all
        for one in found:
            expected = exact(logits[clip], int(lengths[clip]), one.tokens)
            assert one.log_probability == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_a_narrow_beam_overstates_no_probability(seed: int) -> None:
    logits, lengths = drawn(2, 60, 20, seed), torch.tensor([60, 40])
    gaps = [
        exact(logits[clip], int(lengths[clip]), one.tokens) - one.log_probability
        for clip, found in enumerate(ctc_beam_search(logits, lengths, beam_size=4))
        for one in found
    ]
    assert len(gaps) == 8 and min(gaps) > -1e-3 and max(gaps) > 0.01


def reference_search(logits: torch.Tensor, beam_size: int) -> dict[tuple[int, ...], float]:
    """Prefix beam search as Hannun et al. write it: all tokens, one sequence after the other."""
    beams = {(): (1.0, 0.0)}  # alignments that end in a blank, and in a token
    for step in logits.double().softmax(-1).tolist():
        grown = defaultdict(lambda: [0.0, 0.0])
        for tokens, (blank, token) in beams.items():
            grown[tokens][0] += (blank + token) * step[BLANK]
            if tokens:
                grown[tokens][1] += token * step[tokens[-1]]
            for added in range(1, len(step)):
                before = blank if tokens[-1:] == (added,) else blank + token
                grown[(*tokens, added)][1] += before * step[added]
        best = sorted(grown, key=lambda tokens: -sum(grown[tokens]))[:beam_size]
        beams = {tokens: tuple(grown[tokens]) for tokens in best}
    return {tokens: math.log(sum(parts)) for tokens, parts in beams.items() if sum(parts)}


@given(
    st.integers(1, 25),
    st.integers(2, 12),
    st.integers(1, 8),
    st.integers(0, 10**6),
    st.sampled_from([0.3, 2.0]),
)
def test_a_narrow_beam_keeps_what_the_plain_search_keeps(T, G, beam_size, seed, spread) -> None:
    """The plain search extends by every token, also by those that this one leaves out."""
    logits = drawn(1, T, G, seed, spread)
    (found,) = ctc_beam_search(logits, torch.tensor([T]), beam_size)
    probabilities = {tuple(one.tokens): one.log_probability for one in found}
    assert probabilities == pytest.approx(reference_search(logits[0], beam_size), abs=1e-4)


def test_a_beam_finds_what_the_best_path_misses() -> None:
    """Twice blank is the likeliest path, but "1" has three, and more in sum."""
    logits = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
    lengths = torch.tensor([2])
    assert greedy_ctc(logits, lengths) == [[]]
    one, none = ctc_beam_search(logits, lengths, beam_size=2)[0]
    assert (one.tokens, none.tokens) == ([1], [])
    assert math.exp(one.log_probability) == pytest.approx(0.64)
    assert math.exp(none.log_probability) == pytest.approx(0.36)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.sampled_from([1, 2, 10]))
def test_of_certain_steps_the_best_path_is_the_likeliest(path: list[int], beam_size: int) -> None:
    """A beam of 1 is greedy then: all other alignments together are too few to matter."""
    logits = 12 * torch.nn.functional.one_hot(torch.tensor([path]), 5).float()
    lengths = torch.tensor([len(path)])
    assert [ctc_beam_search(logits, lengths, beam_size)[0][0].tokens] == greedy_ctc(logits, lengths)


@pytest.mark.parametrize("beam_size", [1, 2, 10])
def test_the_search_of_a_clip_is_independent_of_the_clips_beside_it(beam_size: int) -> None:
    logits, lengths = drawn(6, 30, 12), torch.tensor([30, 7, 0, 1, 22, 30])
    together = ctc_beam_search(logits, lengths, beam_size)
    for clip, length in enumerate(lengths):
        alone = logits[clip : clip + 1, :length]
        assert ctc_beam_search(alone, lengths[clip : clip + 1], beam_size) == [together[clip]]
    assert len({len(found[0].tokens) for found in together}) > 3
    assert together[2] == [([], 0.0)]


def test_a_search_that_has_no_result_is_named() -> None:
    logits = drawn(2, 4, 3)
    logits[1, 2, 0] = torch.nan
    with pytest.raises(UserError, match="ctc_beam_search: clip 1: found no sequence of finite"):
        ctc_beam_search(logits, torch.tensor([4, 4]), 3)
    assert ctc_beam_search(logits, torch.tensor([4, 2]), 3)  # the steps after it do not count
    with pytest.raises(ValueError, match="found beam_size 0; expected at least 1"):
        ctc_beam_search(logits, torch.tensor([4, 4]), 0)
