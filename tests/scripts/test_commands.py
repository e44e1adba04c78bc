import importlib
import re
import runpy
from pathlib import Path

import pytest

from slt_fast.ops.optical_flow import PRESETS
from slt_fast.ops.optical_flow.backends import BACKENDS

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = {
    *("slt-train", "slt-translate", "slt-evaluate", "slt-score", "slt-extract-flow"),
    *("slt-convert", "slt-export", "slt-serve"),
}
FOUND = re.findall(
    r'^(slt-\S+) = "(\S+):(\S+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
)


def test_all_commands_are_installed() -> None:
    assert {command for command, _, _ in FOUND} == EXPECTED


@pytest.mark.parametrize(("command", "module", "function"), FOUND)
def test_a_command_is_its_script(command, module, function, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(importlib.import_module(module), function, lambda: calls.append(command))
    script = command.removeprefix("slt-").replace("-", "_")
    runpy.run_path(str(ROOT / "scripts" / f"{script}.py"), run_name="__main__")
    assert calls == [command]


@pytest.mark.parametrize("name", ["train.py", "extract_flow.py"])
def test_help_lists_presets_and_backends(run_script, name: str) -> None:
    shown = run_script(name, "--help").out
    for word in (*PRESETS, *BACKENDS):
        assert re.search(rf"\b{word}\b", shown), word


@pytest.mark.parametrize(
    "name",
    [
        "train.py",
        "evaluate.py",
        "translate.py",
        "score.py",
        "extract_flow.py",
        "convert.py",
        "export.py",
    ],
)
def test_help_shows_each_example_on_its_own_line(run_script, name: str) -> None:
    command = f"slt-{name[:-3].replace('_', '-')} "
    shown = [line.strip(" \u2502") for line in run_script(name, "--help").out.splitlines()]
    examples = [line for line in shown if line.startswith(command)]
    assert examples and all(line.count(command) == 1 for line in examples)
