import numpy as np
import pytest

from slt_fast.data.cameras import Camera
from slt_fast.data.resampling import count_resampled, distinct, resampled


def shown(
    times: list[float], rate: float, own: float | None, camera: Camera | None = None
) -> list[int]:
    """The numbers of the frames that are shown; as many as are counted."""
    found = list(resampled(((time, k) for k, time in enumerate(times)), rate, own, camera))
    assert len(found) == count_resampled(times, rate, own, camera)
    return found


def regular(num_frames: int, rate: float, start: float = 0.0) -> list[float]:
    return [start + k / rate for k in range(num_frames)]


@pytest.mark.parametrize("num_frames", [1, 2, 60, 61, 1000])
@pytest.mark.parametrize("start", [0.0, 5.0, 95443.7])
@pytest.mark.parametrize("rate", [12.5, 24000 / 1001, 25, 29.97, 50, 60])
def test_a_rate_that_fits_keeps_each_frame_once(num_frames, start, rate) -> None:
    times = regular(num_frames, rate, start)
    jitter = np.random.default_rng(0).uniform(-0.001, 0.001, num_frames)
    for found in (times, [round(time, 3) for time in times], list(times + np.sort(jitter))):
        assert shown(found, rate, rate) == list(range(num_frames))
    assert shown(times, rate * 1.005, rate) == list(range(num_frames))  # 29.97 for 30


@pytest.mark.parametrize(
    ("own", "num_frames", "expected"),
    [
        (50, 60, list(range(0, 60, 2))),
        (50, 61, list(range(0, 61, 2))),
        (12.5, 3, [0, 0, 1, 1, 2, 2]),
        (100, 41, list(range(0, 41, 4))),
        (75, 6, [0, 3]),
        (30, 12, [0, 1, 2, 4, 5, 6, 7, 8, 10, 11]),  # moments 3.6 and 4.8 of the 30
        (5, 1, [0] * 5),
    ],
)
def test_other_rates_show_the_nearest_frame(own, num_frames, expected) -> None:
    for start in (0.0, 1.48):
        times = regular(num_frames, own, start)
        assert shown(times, 25, own) == expected
        assert shown([round(time, 3) for time in times], 25, own) == expected


def test_pauses_repeat_the_frame_before_them() -> None:
    assert shown([0, 0.04, 0.28, 0.32], 25, 25) == [0, 1, 1, 1, 1, 2, 2, 2, 3]
    assert shown([0, 0.04, 0.04, 0.08], 25, 25) == [0, 2, 3]  # a time that occurs twice


@pytest.mark.parametrize(
    ("camera", "own", "num_frames", "expected"),
    [
        (Camera(12.5, 12.5), 25, 8, [0, 0, 2, 2, 4, 4, 6, 6]),
        (Camera(12.5, 12.5), 25, 7, [0, 0, 2, 2, 4, 4, 6, 6]),
        (Camera(20, 20), 25, 8, [0, 1, 2, 2, 4, 5, 6, 7]),
        (Camera(40, 40), 25, 8, list(range(8))),  # the video has no more
        (Camera(40, 40), 50, 9, [0, 2, 4, 6]),
        (Camera(25, 50, (1,)), 25, 8, list(range(8))),
        (Camera(12.5, 12.5), None, 4, [0, 0, 2, 2]),
    ],
)
def test_a_camera_takes_its_frames_before_they_are_resampled(
    camera, own, num_frames, expected
) -> None:
    times = regular(num_frames, own or 25, 1.48)
    assert shown(times, 25, own, camera) == expected


def test_nothing_of_nothing() -> None:
    assert shown([], 25, None) == [] == shown([], 25, None, Camera(12.5, 12.5))


def test_repeats_are_counted_up_to_the_next_frame() -> None:
    a, b, c = [1], [1], [1]  # equal, but different objects
    assert list(distinct([a, b, c])) == [(a, 1), (b, 1), (c, 1)]
    assert list(distinct([a, a, b, b, b, c])) == [(a, 1), (b, 2), (c, 3)]
    assert list(distinct([a, b, b, b])) == [(a, 1), (b, 1), (b, 2)]
    assert list(distinct([a])) == [(a, 1)] and list(distinct([])) == []
