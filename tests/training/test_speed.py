from slt_fast.training import speed
from slt_fast.training.speed import Speed


def test_frames_a_second_and_time_left(monkeypatch) -> None:
    now = 100.0
    monkeypatch.setattr(speed.time, "monotonic", lambda: now)
    pace = Speed(steps_left=10)
    now = 105.0  # reading, say
    pace.start_epoch()
    now = 107.0
    pace.lap(200, 2)
    assert pace.latest == 100
    now = 108.0
    pace.lap(500, 4)
    expected = {"frames_a_second": 700 / 3, "seconds_a_step": 0.5}
    assert pace.latest == 500 and pace.of_epoch() == expected
    now = 110.0  # scoring does not count as training, but takes its time
    assert pace.of_epoch() == expected
    assert pace.time_left(steps_left=8) == "0:00:40"
    pace.start_epoch()
    now = 112.0
    pace.lap(100, 1)
    assert pace.of_epoch() == {"frames_a_second": 50, "seconds_a_step": 2}


def test_before_the_first_step() -> None:
    pace = Speed(steps_left=0)
    assert pace.of_epoch() == {} and pace.time_left(0) == "0:00:00"
