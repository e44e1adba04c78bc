from slt_fast.training import speed
from slt_fast.training.speed import Speed


def test_frames_a_second_and_time_left(monkeypatch) -> None:
    now = 100.0
    monkeypatch.setattr(speed.time, "monotonic", lambda: now)
    pace = Speed(steps_left=10)
    now = 105.0  # reading, say
    pace.start_epoch()
    now = 107.0
    pace.lap(200)
    assert pace.latest == 100
    now = 108.0
    pace.lap(500)
    assert pace.latest == 500 and pace.of_epoch() == 700 / 3
    now = 110.0  # scoring does not count as training, but takes its time
    assert pace.of_epoch() == 700 / 3
    assert pace.time_left(steps_left=8) == "0:00:40"
    pace.start_epoch()
    now = 112.0
    pace.lap(100)
    assert pace.of_epoch() == 50


def test_before_the_first_step() -> None:
    pace = Speed(steps_left=0)
    assert pace.of_epoch() == 0 and pace.time_left(0) == "0:00:00"
