"""Checks settings against their annotations, so that a rule is written once, beside its field."""

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from slt_fast.errors import UserError


@dataclass(frozen=True)
class Bounds:
    """Limits of a number, as in `Annotated[int, Bounds(ge=1)]`; NaN is outside of all limits."""

    ge: float | None = None  # the number is at least this, and finite
    gt: float | None = None  # the number is more than this
    le: float | None = None  # the number is at most this
    lt: float | None = None  # the number is less than this

    def hold(self, value: float) -> bool:
        """Returns True if a number is within the limits."""
        return (
            (self.ge is None or self.ge <= value < math.inf)
            and (self.gt is None or self.gt < value)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def describe(self, name: str) -> str:
        """Names the limits, as in "at least 1" or "0 <= dropout < 1"."""
        if self.le is None and self.lt is None:
            if self.gt is not None:
                return f"more than {self.gt}"
            return "0 or more" if self.ge == 0 else f"at least {self.ge}"
        if self.ge is not None and self.le is not None:
            return f"{self.ge} to {self.le}"
        low = f"{self.ge} <= " if self.ge is not None else f"{self.gt} < "
        high = f" <= {self.le}" if self.le is not None else f" < {self.lt}"
        return ("" if self.ge is None and self.gt is None else low) + name + high


def check_settings(settings: Any) -> None:
    """Raises UserError for the first field of a dataclass that is not what its annotation says.

    Call it in `__post_init__`. It knows bool, int, float, str, `tuple[...]`, `Literal[...]`, unions
    of them and `Annotated[..., Bounds(...)]`. True is no number, floats are finite, and texts have
    no character that no file can hold. Fields of other kinds pass.
    """
    for name, hint in get_type_hints(type(settings), include_extras=True).items():
        check_value(name, hint, getattr(settings, name))


def check_value(name: str, hint: Any, value: Any) -> None:
    """Raises UserError if a value is not what an annotation says; see check_settings."""
    if (expected := _expected(name, hint, value)) is not None:
        raise UserError(f"{name}: found {value!r}; expected {expected}")


def parse_bytes(name: str, text: str) -> int:
    """Returns the bytes of a text such as "12GB", "900 MB" or "12GiB".

    Args:
        name: Name of the setting.
        text: A number and a unit.

    Raises:
        UserError: The text is something else, or less than a byte.
    """
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([KMGT])(I?)B", text.upper())
    if found is None:
        expected = "a number and a unit, such as 12GB, 1500MB or 12GiB"
        raise UserError(f"{name}: found {text!r}; expected {expected}")
    base = 1024 if found[3] else 1000
    num_bytes = int(float(found[1]) * base ** (1 + "KMGT".index(found[2])))
    if not num_bytes:
        raise UserError(f"{name}: found {text!r}; expected more than 0")
    return num_bytes


def format_bytes(number: float) -> str:
    """Formats a number of bytes, in powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def _expected(name: str, hint: Any, value: Any) -> str | None:
    """Returns what an annotation expects instead of a value; None if the value will do."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _outside(name, parts[1:], value) or _expected(name, parts[0], value)
    if kind in (Union, UnionType):
        found = [_expected(name, part, value) for part in parts]
        return None if None in found else found[0]
    if kind is Literal:
        return None if value in parts else str(parts)
    if kind is tuple and isinstance(value, tuple) and parts[1:] == (...,):
        parts = parts[:1] * len(value)
    if kind is tuple:
        good = isinstance(value, tuple) and len(value) == len(parts)
        good = good and not any(map(_expected, [name] * len(parts), parts, value))
        return None if good else f"{len(parts)} of {get_args(hint)[0].__name__}"
    if hint in _KINDS:
        holds, expected = _KINDS[hint]
        return None if holds(value) else expected
    return None


def _outside(name: str, limits: tuple[Any, ...], value: Any) -> str | None:
    """Describes the limits that a number is outside of."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    bounds = [part for part in limits if isinstance(part, Bounds)]
    failed = [part for part in bounds if is_number and not part.hold(value)]
    return failed[0].describe(name) if failed else None


def _is_int(value: Any) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and -(2**63) <= value < 2**63


def _is_float(value: Any) -> bool:
    limit = sys.float_info.max
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -limit <= value <= limit


_KINDS: dict[Any, tuple[Callable[[Any], bool], str]] = {
    bool: (lambda value: isinstance(value, bool), "True or False"),
    int: (_is_int, "a whole number"),
    float: (_is_float, "a finite number"),
    str: (lambda value: isinstance(value, str) and is_writable(value), "text without NUL"),
    NoneType: (lambda value: value is None, "None"),
}


def is_writable(text: str) -> bool:
    """Returns whether a file's name and content can hold a text.

    NUL ends a path early; lone surrogates, which JSON can spell, cannot be written to any file.
    """
    return not re.search("[\0\ud800-\udfff]", text)
