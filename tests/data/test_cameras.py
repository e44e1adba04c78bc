from itertools import islice, takewhile

import numpy as np
import pytest

from slt_fast.data.cameras import Camera

VARYING = Camera(25, 50, (1, 2))


def filmed(times: list[float], camera: Camera) -> list[int]:
    """The numbers of the frames that a camera takes; they keep their times."""
    found = list(camera.film((time, (k, time)) for k, time in enumerate(times)))
    assert all(time == own for time, (_, own) in found)
    return [k for _, (k, _) in found]


def test_a_steady_camera() -> None:
    camera = Camera(12.5, 12.5)
    assert list(islice(camera.moments(), 4)) == [0, 0.08, 0.16, 0.24]
    assert camera.rate == 12.5
    assert next(islice(camera.moments(), 10**5, None)) == 8000  # no rounding adds up


def test_a_varying_camera() -> None:
    moments = np.array(list(islice(VARYING.moments(), 3000)))
    steps = np.diff(moments)
    assert moments[0] == 0 and 1 / 50 <= steps.min() < 1 / 49 and 1 / 26 < steps.max() <= 1 / 25
    assert 1 / steps.mean() == pytest.approx(VARYING.rate, rel=0.01)
    assert list(islice(VARYING.moments(), 3000)) == moments.tolist()
    assert list(islice(Camera(25, 50, (1, 3)).moments(), 2)) != moments[:2].tolist()


@pytest.mark.parametrize(
    ("own", "rate", "num_frames", "expected"),
    [
        (25, 12.5, 7, [0, 2, 4, 6]),
        (25, 12.5, 8, [0, 2, 4, 6]),
        (25, 20, 9, [0, 1, 2, 4, 5, 6, 7]),  # moments 1.25, 2.5 and so on of the 25
        (50, 25, 6, [0, 2, 4]),
        (30, 11.5, 9, [0, 3, 5, 8]),
        (25, 25, 40, list(range(40))),
        (25, 30, 40, list(range(40))),
        (25, 50, 41, list(range(41))),
        (25, 12.5, 1, [0]),
        (25, 12.5, 0, []),
    ],
)
def test_recorded_frames_are_taken_once(own, rate, num_frames, expected) -> None:
    for start in (0.0, 1.48):
        times = [start + k / own for k in range(num_frames)]
        assert filmed(times, Camera(rate, rate)) == expected
        assert filmed([round(time, 3) for time in times], Camera(rate, rate)) == expected


@pytest.mark.parametrize("camera", [VARYING, Camera(14.3, 14.3), Camera(5, 300, (4,))])
def test_the_nearest_frames_are_taken(camera: Camera) -> None:
    """Of frames at random times, up to where one might be taken for the next by the tie's rule."""
    generator = np.random.default_rng(0)
    times = generator.uniform(0.005, 0.2, 200).cumsum()
    moments = np.array(list(takewhile(lambda moment: moment < 15, camera.moments())))
    offsets = np.abs(times - times[0] - moments[:, None])
    first, second = np.sort(offsets, axis=1)[:, :2].T
    expected = set(offsets.argmin(axis=1)[second - first > 0.2 * (first + second)])
    possible = set(offsets.argsort(axis=1)[:, :2].ravel())
    found = filmed(times.tolist(), camera)
    before = [k for k in found if times[k] - times[0] < 14]
    assert found == sorted(set(found))
    assert {k for k in expected if times[k] - times[0] < 14} <= set(before) <= possible
    assert len(before) < 180 or camera.fastest > 200
