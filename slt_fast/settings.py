"""Checks settings against their annotations, so that a rule is written once, beside its field."""

import math
from collections.abc import Iterator
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
    """Raises UserError for the first field of a dataclass that its annotation does not allow.

    Call it in `__post_init__`. It knows `Literal[...]` and `Annotated[..., Bounds(...)]`, also with
    `| None`; other annotations pass.
    """
    for name, hint in get_type_hints(type(settings), include_extras=True).items():
        value, parts = getattr(settings, name), list(_parts(hint))
        if value is None and NoneType in parts:
            continue
        for part in parts:
            if isinstance(part, Bounds) and not part.hold(value):
                expected = part.describe(name)
            elif get_origin(part) is Literal and value not in get_args(part):
                expected = str(get_args(part))
            else:
                continue
            raise UserError(f"{name}: found {value!r}; expected {expected}")


def _parts(hint: Any) -> Iterator[Any]:
    """Yields what a union or an Annotated is made of."""
    if get_origin(hint) in (Annotated, Union, UnionType):
        for part in get_args(hint):
            yield from _parts(part)
    else:
        yield hint
