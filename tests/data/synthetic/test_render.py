from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from slt_fast.data.synthetic.motion import Poses, sign_poses
from slt_fast.data.synthetic.render import render
from slt_fast.data.synthetic.signer import BACKGROUNDS, draw_signer
from slt_fast.data.synthetic.signs import LEXICON, sign_for

STILL = replace(draw_signer(0, 0), noise=0.0)


def poses(*glosses: str) -> Poses:
    signs = [sign_for(gloss) for gloss in glosses]
    return sign_poses(signs, "statement", STILL, np.random.default_rng(1))


def frames(drawn: Poses, signer=STILL, *, size=(64, 64), seed=2) -> np.ndarray:
    return render(drawn, signer, np.random.default_rng(seed), size=size)


@pytest.mark.parametrize("size", [(112, 112), (80, 64), (48, 64), (33, 35), (260, 210)])
def test_sizes(size: tuple[int, int]) -> None:
    drawn = poses("SEE")
    found = frames(drawn, size=size)
    assert found.shape == (len(drawn.brows), *size, 3) and found.dtype == np.uint8
    assert found.std() > 10
    assert np.abs(np.diff(found.astype(int), axis=0)).max() > 20  # something moves


@pytest.mark.parametrize("backdrop", BACKGROUNDS)
def test_background_stands_still(backdrop: str) -> None:
    found = frames(poses("SEE"), replace(STILL, backdrop=backdrop))
    assert (found[:, :4, :4] == found[:1, :4, :4]).all()


def test_camera_noise_is_the_only_chance() -> None:
    drawn, noisy = poses("SEE"), replace(STILL, noise=3.0)
    assert np.array_equal(frames(drawn, seed=2), frames(drawn, seed=3))
    assert np.array_equal(frames(drawn, noisy, seed=2), frames(drawn, noisy, seed=2))
    first, second = (frames(drawn, noisy, seed=seed).astype(float) for seed in (2, 3))
    assert 3 < (first - second).std() < 5


def changed(drawn: Poses, **columns) -> np.ndarray:
    """bool [T, H, W], the pixels that change with the poses."""
    first, second = frames(drawn), frames(replace(drawn, **columns))
    return (first != second).any(-1)


def test_brows_are_seen_in_the_upper_face_alone() -> None:
    drawn = poses("DOG")  # signed at the belly: no hand before the face
    pixels = changed(drawn, brows=drawn.brows + 1)
    rows, columns = pixels.any((0, 2)).nonzero()[0], pixels.any((0, 1)).nonzero()[0]
    head = np.array(STILL.centre) * 64
    unit = STILL.head_height * 64
    assert pixels.any((1, 2)).all()
    assert (np.abs(columns - head[0]) < 0.5 * unit).all()
    assert rows.max() < head[1] + 0.1 * unit and rows.min() > head[1] - 0.7 * unit


def test_yaw_moves_the_face_within_the_head() -> None:
    drawn = poses("DOG")
    pixels = changed(drawn, head=drawn.head + (0, 0, 1, 0))
    assert pixels.any((1, 2)).all()
    assert pixels.mean() < 0.03


def test_every_parameter_of_a_minimal_pair_is_seen() -> None:
    pairs = [
        (first, second)
        for first, second in combinations(LEXICON, 2)
        if sum(a != b for a, b in zip(*map(values, (first, second)), strict=True)) == 1
    ]
    assert len(pairs) >= 8
    for first, second in pairs:
        one, other = poses(first), poses(second)
        num_frames = min(len(one.brows), len(other.brows))
        images = (frames(drawn, size=(56, 56))[:num_frames].astype(int) for drawn in (one, other))
        assert np.abs(np.subtract(*images)).max() > 40, (first, second)


def values(gloss: str) -> tuple:
    sign = LEXICON[gloss]
    return sign.handshape, sign.location, sign.movement, sign.hands, sign.orientation


def test_the_looks_of_signers_differ() -> None:
    drawn = poses("SEE")
    clips = [frames(drawn, replace(draw_signer(0, index), noise=0.0)) for index in range(6)]
    for first, second in combinations(clips, 2):
        assert np.abs(first.astype(int) - second).mean() > 5
