"""The community's scores of a fixed output on PHOENIX-2014-T."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def parity_scores(shared_data: Path) -> dict:
    path = shared_data / "phoenix14t" / "parity" / "expected.json"
    return json.loads(path.read_text(encoding="utf-8"))["dev"]


@pytest.fixture
def parity_lines(shared_data: Path):
    """Reads the lines of a file."""

    def lines(name: str) -> list[str]:
        text = (shared_data / "phoenix14t" / name).read_text(encoding="utf-8")
        return text.removesuffix("\n").split("\n")

    return lines
