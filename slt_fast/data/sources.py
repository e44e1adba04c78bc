"""Where clips come from: `synthetic[:SEED]`, `phoenix14t:PATH` or `manifest:FILE`."""

from __future__ import annotations

from pathlib import Path

from slt_fast.data.clip import Clip
from slt_fast.data.errors import ErrorHandler
from slt_fast.data.manifest import read_manifest
from slt_fast.data.phoenix14t import read_phoenix14t
from slt_fast.data.synthetic import read_synthetic


def read_split(data: str, split: str, *, on_error: ErrorHandler | None = None) -> list[Clip]:
    """The clips of one split of a data set.

    Args:
        data: "synthetic[:SEED]", "phoenix14t:PATH" or "manifest:FILE".
        split: Name of the split.
        on_error: Called with each bad annotation line, which is then left out; None raises it.

    Raises:
        DataError: A bad line, file or split.
        ValueError: Another kind of data set, or a split without a clip.
    """
    kind, _, place = data.partition(":")
    if kind == "synthetic":
        clips = read_synthetic(split, seed=synthetic_seed(data))
    elif kind == "phoenix14t" and place:
        clips = read_phoenix14t(Path(place), split, on_error=on_error)
    elif kind == "manifest" and place:
        clips = read_manifest(Path(place), split, on_error=on_error)
    else:
        expected = "expected synthetic[:SEED], phoenix14t:PATH or manifest:FILE"
        raise ValueError(f"data: found {data!r}; {expected}")
    if not clips:
        raise ValueError(f"{data}: found no usable clip in split {split!r}; expected at least one")
    return clips


def synthetic_seed(data: str) -> int | None:
    """Seed of a synthetic corpus; None for other data.

    Raises:
        ValueError: A seed that is no whole number.
    """
    kind, _, seed = data.partition(":")
    if kind != "synthetic":
        return None
    if seed and not seed.isdecimal():
        raise ValueError(f"data: found {data}; expected a whole number as its seed")
    return int(seed or 0)
