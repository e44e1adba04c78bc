import logging
import sys
import time

import pytest

from slt_fast import progress_bar
from slt_fast.progress_bar import ProgressBar


def run(number: int) -> None:
    with ProgressBar(total=number, desc="epoch 1/2", unit="step") as bar:
        for _ in range(number):
            bar.set_postfix({"text": 1.25}, refresh=False)
            bar.update()


def test_lines_of_the_log_where_there_is_no_terminal(monkeypatch, caplog, capsys) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress_bar, "_SECONDS", 0.0)
    run(3)
    assert caplog.messages[-1].startswith("epoch 1/2: 3 of 3 steps, 00:00<00:00")
    assert "text=1.25" in caplog.messages[-1]
    assert capsys.readouterr() == ("", "")


def test_a_short_piece_of_work_logs_nothing(caplog, capsys) -> None:
    caplog.set_level(logging.INFO)
    run(1000)
    assert not caplog.messages and capsys.readouterr() == ("", "")


def test_tqdms_monitor_adds_no_lines(monkeypatch, caplog) -> None:
    """Its thread refreshes bars whose steps are fast, sooner than a line is due."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress_bar, "_SECONDS", 0.4)
    monkeypatch.setattr(ProgressBar, "monitor", None)
    monkeypatch.setattr(ProgressBar, "monitor_interval", 0.02)
    start = time.monotonic()
    with ProgressBar(total=10**6, maxinterval=0.1) as bar:
        while not caplog.messages or time.monotonic() - start < 1.3:
            bar.update()
            time.sleep(0.001)
    ProgressBar.monitor.exit()
    assert 1 <= len(caplog.messages) <= (time.monotonic() - start) / 0.4


def test_a_bar_in_a_terminal(monkeypatch, caplog, capsys) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(3)
    assert "epoch 1/2" in capsys.readouterr().err and not caplog.messages


@pytest.mark.parametrize("is_terminal", [True, False])
def test_disabled(monkeypatch, caplog, capsys, is_terminal: bool) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress_bar, "_SECONDS", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with ProgressBar(total=3, disable=True) as bar:
        bar.update(3)
    assert not caplog.messages and capsys.readouterr() == ("", "")
