import os
import subprocess
import sys

import pytest

SHOW = "; import os; print(os.environ.get('OMP_WAIT_POLICY'))"


def policy_after(code: str, **environment: str) -> str:
    known = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", code + SHOW]
    finished = subprocess.run(
        command, env=known | environment, capture_output=True, text=True, check=True
    )
    return finished.stdout.strip()


@pytest.mark.parametrize(
    ("code", "environment", "policy"),
    [
        ("import slt_fast.commands", {}, "PASSIVE"),
        ("from slt_fast import Translator", {}, "PASSIVE"),
        ("import slt_fast", {}, "None"),
        ("import torch; import slt_fast.commands", {}, "None"),
        ("import slt_fast.commands", {"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
        ("import slt_fast.commands", {"GOMP_SPINCOUNT": "1000"}, "None"),
        ("import slt_fast.commands", {"KMP_BLOCKTIME": "1"}, "None"),
    ],
)
def test_threads_wait_asleep_unless_the_user_chooses(code, environment, policy: str) -> None:
    assert policy_after(code, **environment) == policy


def test_commands_do_not_load_torch_before() -> None:
    code = "import slt_fast.commands, sys; assert 'torch' not in sys.modules"
    assert policy_after(code) == "PASSIVE"
