"""Sentences in made motion: rest, signing, and what is hard to tell apart."""

import numpy as np
import pytest

from slt_fast.errors import UserError
from slt_fast.inference.pauses import PauseConfig, PauseFinder, Stretch

RATE = 25.0


def motion(*parts: tuple[float, float], noise: float = 0.003) -> np.ndarray:
    """Returns motion of parts: seconds, and strength; signing goes up and down, but not to rest."""
    generator = np.random.default_rng(0)
    pieces = []
    for seconds, strength in parts:
        moments = np.arange(round(seconds * RATE))
        pieces.append(strength * (0.8 + 0.2 * np.sin(moments)) + 0.01)
    found = np.concatenate(pieces)
    return found + generator.uniform(0, noise, len(found))


def sentences(values: np.ndarray, config: PauseConfig | None = None) -> list[Stretch]:
    finder = PauseFinder(config or PauseConfig(), RATE)
    found = [finder.add(float(value)) for value in values]
    return [one for one in (*found, finder.finish()) if one is not None]


def test_bounds_are_where_motion_begins_and_ends() -> None:
    values = motion((0.8, 0), (2, 0.3), (0.6, 0), (1.2, 0.2), (1, 0))
    # The first moment of motion shows what moved since the one before.
    assert sentences(values) == [Stretch(19, 69), Stretch(84, 114)]


def test_a_short_stillness_is_no_pause() -> None:
    values = motion((0.6, 0), (1, 0.3), (0.24, 0), (1, 0.3), (0.8, 0))
    assert sentences(values) == [Stretch(14, 70)]
    assert len(sentences(values, PauseConfig(shortest_pause=0.15))) == 2


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.01])
def test_rest_alone_has_no_sentence(noise: float) -> None:
    assert sentences(motion((30, 0), noise=noise)) == []


def test_a_twitch_is_no_sentence() -> None:
    values = motion((1, 0), (2, 0.3), (1, 0), (0.16, 0.3), (1, 0))
    assert sentences(values) == [Stretch(24, 74)]


def test_signing_that_never_rests_is_cut_where_it_moves_least() -> None:
    values = motion((1, 0), (13, 0.3), (1, 0))
    values[25 + 85] = 0.05  # in the second half of the first five seconds
    first, second, *others = sentences(values, PauseConfig(longest_sentence=5))
    assert first.end == second.first and abs(first.end - 110) <= 6  # the average lags behind
    assert first.is_cut == (False, True) and second.is_cut == (True, True)
    assert others[-1].is_cut == (True, False) and others[-1].end == 14 * RATE - 1
    assert all(one.end - one.first <= 5 * RATE + 1 for one in (first, second, *others))


def test_memory_is_bounded() -> None:
    finder = PauseFinder(PauseConfig(longest_sentence=4), RATE)
    for number, value in enumerate(np.tile(motion((1, 0), (9, 0.3)), 20)):
        finder.add(float(value))
        assert number - finder.needed <= 5 * RATE


def test_what_goes_on_grows() -> None:
    finder = PauseFinder(PauseConfig(), RATE)
    seen = []
    for value in motion((1, 0), (2, 0.3), (1, 0)):
        if finder.add(float(value)) is None:
            seen.append(finder.going_on())
    known = [one for one in seen if one is not None]
    assert seen[:25] == [None] * 25 and {one.first for one in known} == {24}
    assert [one.end for one in known] == sorted({one.end for one in known})


def test_bad_settings() -> None:
    with pytest.raises(UserError, match="longest_sentence: found 0; expected at least 2"):
        PauseConfig(longest_sentence=0)
