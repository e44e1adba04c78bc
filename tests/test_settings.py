import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from slt_fast.errors import UserError
from slt_fast.settings import Bounds, check_settings, format_bytes, parse_bytes


@dataclass(frozen=True)
class Settings:
    steps: Annotated[int, Bounds(ge=1)] = 1
    weight: Annotated[float, Bounds(ge=0)] = 0.0
    rate: Annotated[float, Bounds(gt=0)] = 1.0
    share: Annotated[float, Bounds(ge=0, lt=1)] = 0.0
    bound: Annotated[float, Bounds(gt=0, lt=10)] = 5.0
    stages: Annotated[int, Bounds(ge=1, le=4)] = 4
    channels: Annotated[int | None, Bounds(ge=1)] = None
    heads: Annotated[int, Bounds(ge=1)] | None = None
    mode: Literal["a", "b"] = "a"
    choice: Literal["a", "b"] | None = None
    name: str = "anything"
    scale: float | None = None
    size: tuple[int, int] = (1, 2)
    names: tuple[str, ...] = ()
    is_on: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"steps": 7, "weight": 3.0, "rate": 1e300, "share": 0.999, "stages": 1},
        {
            "channels": 1,
            "heads": 2,
            "mode": "b",
            "choice": "b",
            "name": "",
            "scale": 2,
            "size": (3, 4),
            "names": ("a", "b", "c"),
        },
    ],
)
def test_settings_within_their_annotations(settings: dict) -> None:
    assert Settings(**settings) == Settings(**settings)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("steps", 0, "at least 1"),
        ("steps", float("nan"), "at least 1"),
        ("weight", -0.5, "0 or more"),
        ("weight", float("inf"), "0 or more"),
        ("rate", 0.0, "more than 0"),
        ("rate", float("nan"), "more than 0"),
        ("share", 1.0, "0 <= share < 1"),
        ("share", float("nan"), "0 <= share < 1"),
        ("bound", 0.0, "0 < bound < 10"),
        ("bound", 10.0, "0 < bound < 10"),
        ("stages", 5, "1 to 4"),
        ("channels", 0, "at least 1"),
        ("heads", 0, "at least 1"),
        ("mode", "c", "('a', 'b')"),
        ("mode", None, "('a', 'b')"),
        ("choice", "c", "('a', 'b')"),
        ("steps", True, "a whole number"),
        ("steps", 1.5, "a whole number"),
        ("steps", "1", "a whole number"),
        ("steps", None, "a whole number"),
        ("steps", [1], "a whole number"),
        ("steps", 2**63, "a whole number"),
        ("channels", True, "a whole number"),
        ("heads", "1", "a whole number"),
        ("weight", True, "a finite number"),
        ("weight", "1", "a finite number"),
        ("weight", 10**400, "a finite number"),
        ("rate", float("inf"), "a finite number"),
        ("scale", float("nan"), "a finite number"),
        ("scale", float("-inf"), "a finite number"),
        ("scale", False, "a finite number"),
        ("mode", True, "('a', 'b')"),
        ("mode", ["a"], "('a', 'b')"),
        ("name", None, "text without NUL"),
        ("name", 1, "text without NUL"),
        ("name", "a\0b", "text without NUL"),
        ("name", "\ud800", "text without NUL"),
        ("size", (1, True), "2 of int"),
        ("size", (1, 2, 3), "2 of int"),
        ("size", 1, "2 of int"),
        ("names", ("a", 1), "2 of str"),
        ("is_on", "true", "True or False"),
        ("is_on", 1, "True or False"),
        ("is_on", None, "True or False"),
    ],
)
def test_the_first_bad_setting_is_named(name: str, value: object, expected: str) -> None:
    message = re.escape(f"{name}: found {value!r}; expected {expected}")
    with pytest.raises(UserError, match=f"^{message}$"):
        Settings(**{name: value})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12GB", 12 * 10**9),
        ("900MB", 900 * 10**6),
        ("12GiB", 12 * 2**30),
        ("1.5 gb", 1_500_000_000),
        ("0.5TiB", 2**39),
        ("2kB", 2000),
    ],
)
def test_bytes(text: str, expected: int) -> None:
    assert parse_bytes("memory", text) == expected


def test_bytes_for_people() -> None:
    numbers = (0, 999, 1000, 1234567, 190e9, 2.5e15)
    found = [format_bytes(number) for number in numbers]
    assert found == ["0 bytes", "999 bytes", "1 kB", "1.23 MB", "190 GB", "2.5e+03 TB"]


@pytest.mark.parametrize(
    "text", ["12", "GB", "12G", "-1GB", "1e3GB", "12 GB a day", "", "1.GB", "٣GB"]
)
def test_text_that_is_no_number_of_bytes(text: str) -> None:
    message = re.escape(f"memory: found {text!r}; expected a number and a unit, such as 12GB")
    with pytest.raises(UserError, match=f"^{message}"):
        parse_bytes("memory", text)
    with pytest.raises(UserError, match="^memory: found '0.0GB'; expected more than 0$"):
        parse_bytes("memory", "0.0GB")


def test_the_command_line_reads_through_the_annotations() -> None:
    code = """
import tyro
from slt_fast.data.augmentation import AugmentationConfig
print(tyro.cli(AugmentationConfig))
"""

    def run(*options: str) -> str:
        command = [sys.executable, "-c", code, *options]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert run("--zoom", "0.25").startswith("AugmentationConfig(zoom=0.25, shift=0.0")
    printed = run("--help")
    assert "--zoom FLOAT" in printed and "(default: 0.0)" in printed and "Bounds" not in printed
