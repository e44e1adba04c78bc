from dataclasses import replace

import numpy as np
import pytest

from slt_fast.data.synthetic.motion import (
    HAND_COLUMNS,
    REST_POSITION,
    SIDE,
    Poses,
    sign_poses,
)
from slt_fast.data.synthetic.signer import draw_signer
from slt_fast.data.synthetic.signs import (
    AGREEMENT_PAIRS,
    HANDSHAPES,
    LEXICON,
    agreeing_sign,
    sign_for,
)

SENTENCE = ["YESTERDAY", "CITY", "MOTHER", "CAR", "RED", "BUY"]
NEUTRAL = replace(
    draw_signer(0, 0), speed=1.0, amplitude=1.0, location_offset=(0.0, 0.0), sway=0.02
)


def poses(glosses=SENTENCE, mode="statement", *, signer=NEUTRAL, seed=5, **options) -> Poses:
    signs = [sign_for(gloss) for gloss in glosses]
    return sign_poses(signs, mode, signer, np.random.default_rng(seed), **options)


def assert_equal(first: Poses, second: Poses) -> None:
    for name in ("right", "left", "head", "brows"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_shapes() -> None:
    found = poses()
    T = len(found.brows)
    assert found.right.shape == found.left.shape == (T, HAND_COLUMNS)
    assert found.head.shape == (T, 4)


def test_follows_the_generator() -> None:
    assert_equal(poses(), poses())
    assert not np.array_equal(poses(seed=5).right[:9], poses(seed=6).right[:9])


def test_poses_between_others_are_their_mixture() -> None:
    own = poses()
    T = len(own.brows)
    assert_equal(own.between(np.arange(T)), own)
    found = own.between(np.array([0.25, 4.5, T - 1.5]))
    for name in ("right", "left", "head", "brows"):
        values = getattr(own, name)
        expected = [
            0.75 * values[0] + 0.25 * values[1],
            (values[4] + values[5]) / 2,
            (values[-2] + values[-1]) / 2,
        ]
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_any_gloss_of_any_signer_stays_near_the_image(seed: int) -> None:
    glosses = [*LEXICON, *(f"GLOSS{seed}{number}" for number in range(100))]
    for index in range(0, len(glosses), 4):
        signer = draw_signer(seed, index)
        found = poses(glosses[index : index + 4], "question", signer=signer, seed=seed)
        for hand in (found.right, found.left, found.head, found.brows[:, None]):
            assert np.isfinite(hand).all()
        for hand in (found.right, found.left):
            # Shares of a square image.
            places = np.array(signer.centre) + hand[:, :2] * signer.head_height
            assert (places > -0.1).all() and (places < 1.15).all()
            assert (hand[:, 2] > 0.5).all() and (hand[:, 2] < 2).all()
            assert (hand[:, 4:] >= 0).all() and (hand[:, 4:] <= 1).all()


@pytest.mark.parametrize("mode", ["negation", "question"])
@pytest.mark.parametrize("seed", range(5))
def test_mode_is_told_by_head_and_brows_alone(mode: str, seed: int) -> None:
    statement, found = poses(seed=seed), poses(mode=mode, seed=seed)
    for hand in ("right", "left"):
        ours, plain = getattr(found, hand), getattr(statement, hand)
        assert np.array_equal(ours[:, 2:], plain[:, 2:])
        # The whole body follows the head a little, and hands tremble.
        moved = (ours - plain)[:, :2] - 0.3 * (found.head - statement.head)[:, :2]
        assert np.abs(moved).max() < 0.1
    assert not np.array_equal(found.brows, statement.brows)
    assert not np.array_equal(found.head, statement.head)


def test_modes_look_as_they_should() -> None:
    statement, negation, question = (
        poses(mode=mode) for mode in ("statement", "negation", "question")
    )
    assert not statement.brows.any() and not statement.head[:, 2].any()
    assert negation.head[:, 2].max() > 0.5 and negation.head[:, 2].min() < -0.5  # headshake
    assert negation.brows.min() < 0 and negation.brows.max() <= 0
    assert question.brows.max() > 0.5 and question.brows.min() >= 0
    assert question.head[:, 3].max() > 1.05 and not question.head[:, 2].any()


@pytest.mark.parametrize("mode", ["negation", "question"])
def test_without_non_manuals_every_mode_is_a_statement(mode: str) -> None:
    assert_equal(poses(mode=mode, non_manual=False), poses())


def test_hands_travel_between_signs_without_a_pause() -> None:
    """Co-articulation: no jump, no return to rest, no frame in which the signing hand stands."""
    glosses = ["FATHER", "SEE", "MOTHER", "FATHER", "SEE"]
    found = poses(glosses)
    steps = np.hypot(*np.diff(found.right[:, :2], axis=0).T)
    assert steps.max() < 1.6
    middle = found.right[5:-5]
    assert np.hypot(*(middle[:, :2] - REST_POSITION).T).min() > 1
    assert len(found.brows) < sum(len(poses([gloss]).brows) for gloss in glosses)
    standing = np.abs(np.diff(middle, axis=0)).max(1) < 1e-6
    assert not standing.any()


def test_handshape_changes_while_the_hand_travels() -> None:
    shapes = poses(["DOCTOR", "FATHER"]).right[:, 4:]
    assert len({tuple(shape) for shape in shapes}) > 3  # rest, fist, spread and what is between


def test_the_other_hand_mirrors_or_rests() -> None:
    one, two = poses(["CHILD"]), poses(["TEACHER"])
    assert len(one.brows) == len(two.brows)
    middle = len(one.brows) // 2
    mirrored = two.right[:, :2] * (-1, 1)
    body = two.head[:, :2] * 0.3
    assert np.abs(two.left[:, :2] - body - (mirrored - body * (-1, 1))).max() < 0.15
    assert np.array_equal(two.left[:, 4:], two.right[:, 4:])
    rest = np.array([-REST_POSITION[0], REST_POSITION[1]])
    assert np.hypot(*(one.left[middle, :2] - rest)) < 0.2
    assert np.hypot(*(two.left[middle, :2] - rest)) > 0.5


def test_manner_of_the_signer() -> None:
    slow, quick = (poses(signer=replace(NEUTRAL, speed=speed)) for speed in (0.8, 1.25))
    assert len(slow.brows) > 1.2 * len(quick.brows)
    small, large = (
        np.ptp(poses(["BUY"], signer=replace(NEUTRAL, amplitude=size)).right[3:-3, 0])
        for size in (0.8, 1.25)
    )
    assert large > 1.2 * small


def agreeing(gloss: str, side: int, **options) -> Poses:
    generator = np.random.default_rng(5)
    return sign_poses([agreeing_sign(gloss, side)], "statement", NEUTRAL, generator, **options)


@pytest.mark.parametrize("pair", AGREEMENT_PAIRS)
def test_hand_and_head_show_a_gloss_of_a_pair_together_only(pair) -> None:
    toward, away = ({side: agreeing(gloss, side) for side in (-1, 1)} for gloss in pair)
    for side in (-1, 1):
        # The hands are those of the other gloss, and the turn is that of the other gloss elsewhere.
        assert np.array_equal(toward[side].right, away[side].right)
        assert np.array_equal(toward[side].left, away[side].left)
        turns = (np.trim_zeros(found.head[:, 2]) for found in (toward[side], away[-side]))
        assert np.array_equal(*turns)
        middle = len(toward[side].brows) // 2
        assert toward[side].right[middle, 0] * side > SIDE / 4
        for found, turn in ((toward[side], side), (away[side], -side)):
            assert (found.head[:, 2] * turn).max() > 0.9 and (found.head[:, 2] * turn).min() >= 0
            assert (found.head[:, 0] * turn).max() > 0.25
    assert_equal(agreeing(pair[0], 1, non_manual=False), agreeing(pair[1], 1, non_manual=False))


def test_an_agreeing_sign_is_at_its_side_and_moves_alike() -> None:
    hands = (agreeing("SEE", side).right for side in (-1, 1))
    left, right = (hand[(hand[:, 4:] == HANDSHAPES["vee"]).all(1)] for hand in hands)
    assert np.abs((right - left)[:, 0] - 2 * SIDE).max() < 0.1  # hands tremble
    assert np.abs((right - left)[:, 1]).max() < 0.1
    assert np.array_equal(right[:, 2:], left[:, 2:]) and len(left) >= 4
