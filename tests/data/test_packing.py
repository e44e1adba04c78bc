from hypothesis import given
from hypothesis import strategies as st

from slt_fast.data.packing import (
    in_groups,
    packed,
    seeded_generator,
    shares,
    steps_of_like_length,
)

FRAMES = st.lists(st.integers(1, 500), min_size=1, max_size=60)


def flat(groups: list[list[int]]) -> list[int]:
    return [clip for group in groups for clip in group]


@given(FRAMES, st.integers(1, 2000), st.integers(0, 2**32))
def test_steps_hold_each_clip_once_and_keep_to_the_budget(frames, budget, seed) -> None:
    steps = steps_of_like_length(frames, budget, seeded_generator(seed))
    assert sorted(flat(steps)) == list(range(len(frames)))
    assert all(len(step) == 1 or sum(frames[clip] for clip in step) <= budget for step in steps)
    assert steps == steps_of_like_length(frames, budget, seeded_generator(seed))


@given(FRAMES, st.integers(1, 9), st.integers(0, 99))
def test_shares_hold_each_clip_of_a_step_once(frames, number, seed) -> None:
    for step in steps_of_like_length(frames, 900, seeded_generator(seed)):
        given = shares(step, frames, number)
        assert len(given) == number and sorted(flat(given)) == sorted(step)
        totals = [sum(frames[clip] for clip in share) for share in given]
        # Moving a clip from the fullest share to the emptiest would not help.
        fullest = given[totals.index(max(totals))]
        smallest = min(frames[clip] for clip in fullest)
        assert max(totals) - min(totals) <= smallest


@given(FRAMES, st.integers(1, 900))
def test_groups_keep_the_order_and_are_as_full_as_can_be(frames, budget) -> None:
    order = list(range(len(frames)))[::-1]
    groups = packed(order, frames, budget)
    assert flat(groups) == order
    for group, after in zip(groups, groups[1:], strict=False):
        assert sum(frames[clip] for clip in [*group, after[0]]) > budget


def test_steps_are_of_like_clips_in_a_random_order() -> None:
    frames = [40 + 2 * number for number in range(200)]
    first, second = (steps_of_like_length(frames, 900, seeded_generator(n)) for n in (1, 2))
    assert first != second and sorted(map(sorted, first)) != sorted(map(sorted, second))
    for step in first:
        lengths = [frames[clip] for clip in step]
        assert max(lengths) < 2 * min(lengths)
    longest = [max(frames[clip] for clip in step) for step in first]
    assert longest != sorted(longest) and longest != sorted(longest, reverse=True)
    total = sum(frames)
    assert len(first) < 1.3 * total / 900


def test_groups_of_a_size() -> None:
    assert in_groups(range(5), 2) == [[0, 1], [2, 3], [4]]
    assert in_groups([], 2) == []
