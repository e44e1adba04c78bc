import pytest

from slt_fast.recipe import TrainingConfig
from slt_fast.training.schedule import learning_rate


def test_learning_rate() -> None:
    settings = TrainingConfig(learning_rate=0.5, schedule="cosine")
    rates = [learning_rate(settings, step, 60) for step in range(60)]
    assert rates[:6] == pytest.approx([0.5 * (step + 1) / 6 for step in range(6)])
    assert rates[6] == 0.5 and max(rates) == 0.5
    assert all(first > second for first, second in zip(rates[6:], rates[7:], strict=False))
    assert rates[33] == pytest.approx(0.25) and 0 < rates[-1] < 0.001
    assert learning_rate(settings, 60, 60) == learning_rate(settings, 99, 60) == pytest.approx(0)
    settings = TrainingConfig(learning_rate=0.5)
    assert {learning_rate(settings, step, 60) for step in range(60)} == {0.5}


def test_an_unknown_schedule_is_a_defect() -> None:
    settings = TrainingConfig()
    object.__setattr__(settings, "schedule", "linear")  # past the check of the options
    with pytest.raises(ValueError, match="schedule: found 'linear'; expected constant or cosine"):
        learning_rate(settings, 0, 60)
