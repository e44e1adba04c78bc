import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest

from slt_fast.command_line import parse, run
from slt_fast.errors import DataError, UserError


@dataclass
class Options:
    steps: int = 1


def failing(error: BaseException):
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize(
    "error",
    [
        DataError("list.csv", "2 fields", "3", 7),
        UserError("epochs: found 0; expected at least 1"),
        FileNotFoundError(2, "No such file or directory", "clip.mp4"),
    ],
)
def test_bad_input_is_one_line_on_standard_error(capsys, error: Exception) -> None:
    with pytest.raises(SystemExit) as caught:
        run(failing(error))
    assert caught.value.code == 1
    printed = capsys.readouterr()
    assert printed.err == f"error: {error}\n" and not printed.out


@pytest.mark.parametrize("error", [KeyError("ours"), ValueError("ours")])
def test_a_defect_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error), match="ours"):
        run(failing(error))


def test_a_traceback_on_request(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--traceback", "--epochs", "2"])
    with pytest.raises(DataError, match=r"list.csv: found 2 fields; expected 3"):
        run(failing(DataError("list.csv", "2 fields", "3")))
    assert not capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["x.py", "--traceback", "--steps", "2"])
    assert parse(Options, None) == Options(2)


def test_help_names_the_traceback(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["x.py", "--help"])
    with pytest.raises(SystemExit):
        parse(Options, "Does something.")
    printed = " ".join(capsys.readouterr().out.split())
    assert "Does something." in printed and "also takes --traceback" in printed
    monkeypatch.setattr(sys, "argv", ["x.py", "--steps", "3"])
    assert parse(Options, None) == Options(3)


def test_interruption(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        run(failing(KeyboardInterrupt()))
    assert caught.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_standard_output_is_for_results() -> None:
    code = (
        "import logging; from slt_fast.command_line import parse, run\n"
        "run(lambda: (logging.getLogger('x').info('a log line'), print('done')))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.stdout == "done\n" and "a log line" in finished.stderr


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    known = os.environ | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=known)


def test_log_files_get_whole_lines() -> None:
    code = (
        "import logging; from slt_fast.command_line import run\n"
        "run(lambda: logging.getLogger('x').info('word ' * 60))"
    )
    (line,) = python(code, COLUMNS="40").stderr.splitlines()
    assert line.endswith("INFO " + "word " * 60)


def test_german_on_a_terminal_that_knows_ascii_only() -> None:
    code = "from slt_fast.command_line import run\nrun(lambda: print('Schl\\u00e4fst du ?'))"
    finished = python(code, PYTHONIOENCODING="ascii")
    assert (finished.returncode, finished.stdout) == (0, "Schl\\xe4fst du ?\n")


# Python's own handling, also where the tests run in the background, with Ctrl-C ignored.
OWN_SIGINT = "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def test_ctrl_c_during_imports_leaves_no_traceback() -> None:
    code = (
        f"{OWN_SIGINT}import slt_fast.commands\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('went on')"
    )
    finished = python(code)
    assert finished.returncode == -signal.SIGINT
    assert not finished.stdout and not finished.stderr


def test_ctrl_c_during_a_command_is_one_line() -> None:
    code = (
        f"{OWN_SIGINT}import slt_fast.commands; from slt_fast.command_line import run\n"
        "run(lambda: os.kill(os.getpid(), signal.SIGINT))"
    )
    finished = python(code)
    assert (finished.returncode, finished.stderr) == (130, "interrupted\n")
