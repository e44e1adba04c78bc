import importlib
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = {"slt-train", "slt-translate", "slt-evaluate", "slt-extract-flow"}
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
