"""Renders real gloss sentences: PHOENIX-2014-T's annotations with a drawn signer.

Each name of a signer is one synthetic signer, the same in every split. All sentences are
statements, because the annotation has no non-manuals. The name of a clip seeds its rendering, so
that clips of different splits, whose names differ, are rendered differently.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.datasets.phoenix14t import (
    ANNOTATIONS_FOLDER,
    FRAMES_FOLDER,
    HEADER,
    Annotation,
    read_annotations,
    read_phoenix14t,
)
from slt_fast.data.synthetic.corpus import SyntheticSource
from slt_fast.errors import DataError, ErrorHandler, UserError
from slt_fast.files import is_same_file, replacing, replacing_folder


def read_rendered_phoenix14t(
    root: str | Path, split: str, *, on_error: ErrorHandler | None = None
) -> list[AnnotatedClip]:
    """Reads the clips of a split, which are rendered when they are read; only annotations exist.

    Args:
        root: As for read_phoenix14t.
        split: As for read_phoenix14t.
        on_error: Called with the error of each bad row, which is then left out; None raises it.

    Raises:
        DataError: There is no such data set or split; or, without `on_error`, a row is bad.
    """
    clips = read_phoenix14t(root, split, on_error=on_error, needs_frames=False)
    return [
        replace(clip, source=drawn_source(clip.id, clip.glosses or (), clip.signer or ""))
        for clip in clips
    ]


def render_annotations(
    annotations: Path,
    output: Path,
    *,
    limit: int | None = None,
    size: tuple[int, int] = (260, 210),
    seed: int = 0,
) -> Iterator[int]:
    """Renders the sentences of an annotation file into the official folder layout.

    The annotation file of the output is written last, with the rendered rows.

    Args:
        annotations: PHOENIX-2014-T.SPLIT.corpus.csv.
        output: Root of the data set to write; its other splits stay as they are.
        limit: Only the first sentences.
        size: Height and width of the frames.
        seed: Seed of signers and rendering.

    Yields:
        The number of frames of each clip, once it is on disk.

    Raises:
        DataError: A bad annotation file, or one of the data set that would be overwritten; or a
            data set in the output that was not rendered.
        UserError: A limit or size of less than 1.
        OSError: Frames that cannot be written.
    """
    for name, value in (("limit", limit), ("size", size)):
        if value is not None and np.min(value) < 1:
            raise UserError(f"{name}: found {value}; expected at least 1")
    split = _split_of(annotations)
    written = output / ANNOTATIONS_FOLDER / annotations.name
    if is_same_file(written, annotations):
        raise DataError(output, "the annotation file's own data set", "another folder")
    rows = read_annotations(annotations)[:limit]
    _claim(output)
    for row in rows:
        source = drawn_source(row.name, row.glosses, row.signer, seed=seed)
        frames = replace(source, size=size).read()
        write_frames(output / FRAMES_FOLDER / split / row.name, frames)
        yield len(frames)
    _write_annotations(written, rows)


def drawn_source(
    name: str, glosses: tuple[str, ...], signer: str, *, seed: int = 0
) -> SyntheticSource:
    """Returns the rendering of a clip of this name, signed by the drawn signer of that name."""
    seeds = (seed, stable_number(name))
    return SyntheticSource(name, glosses, "statement", stable_number(signer), seeds)


def stable_number(name: str) -> int:
    """Returns the number of a name of a signer or clip: a stable hash, below 2 ** 32."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:4], "big")


def _claim(output: Path) -> None:
    """Marks a new data set as rendered; refuses one without the mark, whose frames may be real."""
    mark = output / "RENDERED.txt"
    if mark.exists():
        return
    for folder in (FRAMES_FOLDER, ANNOTATIONS_FOLDER):
        if (output / folder).exists():
            found = f"{folder} without {mark.name}, so perhaps real frames"
            raise DataError(output, found, "a new folder, or one that was rendered into")
    output.mkdir(parents=True, exist_ok=True)
    with replacing(mark) as temporary:
        temporary.write_text("Frames of a drawn signer: not a real data set.\n", encoding="utf-8")


def _split_of(annotations: Path) -> str:
    parts = annotations.name.split(".")
    if len(parts) != 4 or parts[0] != "PHOENIX-2014-T" or parts[2:] != ["corpus", "csv"]:
        raise DataError(annotations, "this file name", "PHOENIX-2014-T.SPLIT.corpus.csv")
    return parts[1]


def write_frames(folder: Path, frames: np.ndarray) -> None:
    """Writes frames, uint8 [T, H, W, 3] RGB, as images0001.png and so on; replaces the folder.

    Raises:
        OSError: Frames that cannot be written.
    """
    # Not durable: after a power failure they can be rendered again.
    with replacing_folder(folder, durable=False) as temporary:
        for number, frame in enumerate(frames, start=1):
            path = temporary / f"images{number:04d}.png"
            if not cv2.imwrite(str(path), frame[..., ::-1]):
                raise OSError(f"{folder / path.name}: could not write the frame")


def _write_annotations(path: Path, rows: list[Annotation]) -> None:
    lines = ["|".join(HEADER)]
    for row in rows:
        video = f"{row.name}/1/*.png"  # the pattern of the official files, folder "1" or not
        glosses = " ".join(row.glosses)
        lines.append("|".join([row.name, video, "-1", "-1", row.signer, glosses, row.text]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
