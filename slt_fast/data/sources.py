"""Where clips come from: `synthetic[:SEED]`, `phoenix14t:PATH` or `manifest:FILE`.

Where annotations do not matter, a video, a folder of videos or the manifest alone will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slt_fast.data.clip import Clip, FrameSource
from slt_fast.data.datasets.manifest import MANIFEST_SUFFIXES, manifest_splits, read_manifest
from slt_fast.data.datasets.phoenix14t import phoenix14t_root, phoenix14t_splits, read_phoenix14t
from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.synthetic.corpus import NUM_CLIPS
from slt_fast.data.video.folder import find_videos
from slt_fast.errors import ErrorHandler


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
    clips = _read_clips(data, split, on_error)
    if not clips:
        raise ValueError(f"{data}: found no usable clip in split {split!r}; expected at least one")
    return clips


def _read_clips(data: str, split: str, on_error: ErrorHandler | None) -> list[Clip]:
    kind, _, place = data.partition(":")
    if kind == "synthetic":
        return read_synthetic(split, seed=synthetic_seed(data))
    if kind == "phoenix14t" and place:
        return read_phoenix14t(Path(place), split, on_error=on_error)
    if kind == "manifest" and place:
        return read_manifest(Path(place), split, on_error=on_error)
    expected = "expected synthetic[:SEED], phoenix14t:PATH or manifest:FILE"
    raise ValueError(f"data: found {data!r}; {expected}")


def read_videos(
    data: str, *, splits: Sequence[str] = (), on_error: ErrorHandler | None = None
) -> tuple[Path, list[FrameSource]]:
    """The videos of a data set, of several splits or without any annotations.

    Args:
        data: As for read_split; or a path of a manifest, a video, or a folder of videos or frames.
        splits: Names of splits; none means all.
        on_error: Called with each bad annotation line, which is then left out; None raises it.

    Returns:
        The folder that videos are named relative to, and the videos.

    Raises:
        DataError: A bad line, file or split, or no video.
        ValueError: Splits of what has none.
    """
    if data.partition(":")[0] not in ("synthetic", "phoenix14t", "manifest"):
        if Path(data).suffix.lower() not in MANIFEST_SUFFIXES:
            if splits:
                expected = "expected none, as only annotations tell splits"
                raise ValueError(f"{data}: found splits {', '.join(splits)}; {expected}")
            return find_videos(Path(data))
        data = f"manifest:{data}"
    clips = [
        clip for split in splits or split_names(data) for clip in _read_clips(data, split, on_error)
    ]
    if not clips:
        raise ValueError(f"{data}: found no usable clip; expected at least one")
    return data_root(data), [clip.source for clip in clips]


def data_root(data: str) -> Path:
    """The folder that a data set's videos are named relative to."""
    kind, _, place = data.partition(":")
    if kind == "phoenix14t":
        return phoenix14t_root(place)
    return Path(place).parent if kind == "manifest" else Path()  # a rendered clip has no file


def split_names(data: str) -> list[str]:
    """The splits of a data set.

    Raises:
        DataError: A bad file.
    """
    kind, _, place = data.partition(":")
    if kind == "phoenix14t" and place:
        return phoenix14t_splits(place)
    return manifest_splits(place) if kind == "manifest" and place else list(NUM_CLIPS)


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
