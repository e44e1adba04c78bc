import itertools

import pytest
import torch

from slt_fast.inference.search import beam_search, ranked

BEGIN, END, NUM_WORDS = 0, 1, 4


class TableModel:
    """Logits of the next token that depend on clip and whole sequence, drawn once for each."""

    def __init__(self, num_clips: int, beam_size: int, seed: int = 0, spread: float = 2.0) -> None:
        self.clips = [clip for clip in range(num_clips) for _ in range(beam_size)]
        self.seed, self.spread, self.lengths = seed, spread, []

    def __call__(self, tokens: torch.Tensor, continued: torch.Tensor) -> torch.Tensor:
        """Also checks that each sequence continues the one that it is said to."""
        if self.lengths:
            assert torch.equal(tokens[:, :-1], self.before[continued])
        self.before = tokens
        self.lengths.append(tokens.shape[1])
        rows = zip(self.clips, tokens.tolist(), strict=True)
        return torch.stack([self.logits(clip, row) for clip, row in rows])

    def logits(self, clip: int, sequence: list[int]) -> torch.Tensor:
        seed = hash((self.seed, clip, *sequence)) % 2**31
        generator = torch.Generator().manual_seed(seed)
        return self.spread * torch.randn(NUM_WORDS, generator=generator)

    def score(self, clip: int, words: tuple[int, ...]) -> float:
        """Log probability of these words, END among them if they end."""
        sequence, total = [BEGIN], 0.0
        for word in words:
            total += self.logits(clip, sequence).log_softmax(-1)[word].item()
            sequence.append(word)
        return total


def search(model: TableModel, num_clips: int, beam_size: int, max_length: int, **settings) -> list:
    found = beam_search(
        model,
        num_clips=num_clips,
        beam_size=beam_size,
        max_length=max_length,
        begin=BEGIN,
        end=END,
        **settings,
    )
    return [sequences[0].tokens for sequences in found]


def candidates(max_length: int) -> list[tuple[int, ...]]:
    """All sequences that end, and all that are cut off."""
    words = [word for word in range(NUM_WORDS) if word != END]
    ended = [
        (*body, END)
        for length in range(max_length)
        for body in itertools.product(words, repeat=length)
    ]
    return ended + list(itertools.product(words, repeat=max_length))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 0.6, 1.0, 5.0])
def test_a_wide_beam_finds_the_best_of_all(seed, length_penalty) -> None:
    every = candidates(max_length=3)
    model = TableModel(num_clips=2, beam_size=len(every), seed=seed)
    results = search(model, 2, len(every), 3, length_penalty=length_penalty)
    for clip, result in enumerate(results):
        best = max(every, key=lambda s: model.score(clip, s) / ((5 + len(s)) / 6) ** length_penalty)
        assert result == [word for word in best if word != END]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("beam_size", [1, 4])
def test_all_sequences_of_the_beam_with_their_probabilities(seed, beam_size) -> None:
    model = TableModel(2, beam_size, seed)
    settings = {"num_clips": 2, "beam_size": beam_size, "max_length": 6, "begin": BEGIN, "end": END}
    for clip, found in enumerate(beam_search(model, **settings, length_penalty=0.5)):
        assert len(found) == len({tuple(one.tokens) for one in found}) == beam_size
        scores = [one.score(0.5) for one in found]
        assert scores == sorted(scores, reverse=True) and found == ranked(found, 0.5)
        for one in found:
            ended = [*one.tokens, END][: one.length]
            assert one.log_probability == pytest.approx(model.score(clip, tuple(ended)), rel=1e-4)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_beam_of_one_is_greedy(seed, length_penalty) -> None:
    model = TableModel(num_clips=3, beam_size=1, seed=seed)
    results = search(model, 3, 1, 6, length_penalty=length_penalty)
    for clip, result in enumerate(results):
        sequence = [BEGIN]
        while len(sequence) <= 6 and (word := int(model.logits(clip, sequence).argmax())) != END:
            sequence.append(word)
        assert result == sequence[1:]


def test_a_beam_finds_what_greed_misses() -> None:
    """The likelier first word, 2, has nothing but unlikely ways on."""

    def next_logits(tokens: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        table = {(0,): [0, 0, 0.6, 0.4], (0, 2): [0.2, 0.4, 0.2, 0.2], (0, 3): [0, 1, 0, 0]}
        rows = [table.get(tuple(row), [0, 1, 0, 0]) for row in tokens.tolist()]
        return torch.tensor(rows).log()

    assert search(next_logits, 1, 1, 4, length_penalty=0.0) == [[2]]
    assert search(next_logits, 1, 2, 4, length_penalty=0.0) == [[3]]


def test_a_sequence_that_ended_leaves_its_place_to_another() -> None:
    """The best, 3, is third after the end itself and 2: two beams must go on all the same."""

    def next_logits(tokens: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        table = {(0,): [0, 0.4, 0.35, 0.25], (0, 2): [0.34, 0, 0.33, 0.33]}
        rows = [table.get(tuple(row), [0, 1, 0, 0]) for row in tokens.tolist()]
        return torch.tensor(rows).log()

    assert search(next_logits, 1, 2, 4, length_penalty=3.0) == [[3]]


@pytest.mark.parametrize("beam_size", [1, 2, 3])
def test_a_clip_is_independent_of_the_clips_beside_it(beam_size) -> None:
    together = search(TableModel(6, beam_size), 6, beam_size, 12)
    for clip in range(6):
        alone = TableModel(6, beam_size)
        alone.clips = [clip] * beam_size
        assert search(alone, 1, beam_size, 12) == [together[clip]]
    assert len({len(result) for result in together}) > 1


def test_a_higher_length_penalty_makes_no_shorter_sentence() -> None:
    lengths = []
    for length_penalty in (0.0, 0.5, 1.0, 2.0):
        results = search(TableModel(20, 4), 20, 4, 8, length_penalty=length_penalty)
        lengths.append(sum(map(len, results)))
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_stops_when_all_have_ended() -> None:
    model = TableModel(2, 2)
    model.logits = lambda clip, sequence: torch.tensor([0.0, 9, 1, 2])
    assert search(model, 2, 2, 50) == [[], []]
    assert max(model.lengths) == 2


def test_stops_at_the_longest_length() -> None:
    model = TableModel(2, 3)
    model.logits = lambda clip, sequence: torch.tensor([-9.0, -99, 1, 0])
    assert search(model, 2, 3, 5) == [[2] * 5] * 2
    assert model.lengths == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("beam_size", "max_length"), [(0, 5), (2, 0)])
def test_settings_without_a_meaning_are_named(beam_size, max_length) -> None:
    found = f"found beam_size {beam_size} and max_length {max_length}; expected at least 1"
    with pytest.raises(ValueError, match=found):
        search(TableModel(1, 1), 1, beam_size, max_length)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_logits_that_are_not_numbers_are_named(beam_size) -> None:
    model = TableModel(2, beam_size)
    model.logits = lambda clip, _: torch.full((NUM_WORDS,), torch.nan if clip else 0.0)
    with pytest.raises(ValueError, match="clip 1: found no sequence of finite probability"):
        search(model, 2, beam_size, 3)
