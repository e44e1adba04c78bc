"""Reads RWTH-PHOENIX-Weather 2014 T (Camgoz et al., CVPR 2018) in its official layout.

    [PHOENIX-2014-T/]annotations/manual/PHOENIX-2014-T.{train,dev,test}.corpus.csv
    [PHOENIX-2014-T/]features/fullFrame-210x260px/{train,dev,test}/<name>[/1]/images0001.png ...

Resized frames are in other folders fullFrame-*px. In the release,
PHOENIX-2014-T.train-complex-annotation.corpus.csv has richer glosses for the clips of train.

The csv files are separated by "|" and have no quoting: a quotation mark is part of the text. Their
`video` column says <name>/1/*.png, but release v3 has no folder "1"; both are read.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.datasets.text_lines import read_text_lines
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, ErrorHandler, handle
from slt_fast.files import seen_from

HEADER = ("name", "video", "start", "end", "speaker", "orth", "translation")
ANNOTATIONS_FOLDER = Path("annotations", "manual")
FRAMES_FOLDER = Path("features", "fullFrame-210x260px")
_FRAMES = "features/fullFrame-*px"
_FRAMES_PER_SECOND = 25

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Annotation:
    """One row of an annotation file."""

    name: str  # of the clip and of its frame folder
    signer: str
    glosses: tuple[str, ...]  # in signing order (column `orth`)
    text: str  # German sentence, lower case, without a final dot (column `translation`)
    origin: str  # "file:line" of the row


def read_annotations(path: str | Path, *, on_error: ErrorHandler | None = None) -> list[Annotation]:
    """Reads the rows of an annotation file, in file order; their frames need not exist.

    Args:
        path: A PHOENIX-2014-T.*.corpus.csv.
        on_error: Called with the error of each bad row, which is then left out; None raises it.

    Raises:
        DataError: The file is not an annotation file; or, without `on_error`, a row is bad.
    """
    path = Path(path)
    (header_line, header), *lines = read_text_lines(path)
    if tuple(header.split("|")) != HEADER:
        raise DataError(path, f"header {header!r}", "|".join(HEADER), header_line)
    if not lines:
        raise DataError(path, "no rows", "one row a clip")
    annotations: dict[str, Annotation] = {}
    for line, content in lines:
        try:
            annotation = _parse_row(path, line, content)
            if annotation.name in annotations:
                expected = f"a name not used in {annotations[annotation.name].origin}"
                raise DataError(path, f"name {annotation.name!r} again", expected, line)
            annotations[annotation.name] = annotation
        except DataError as error:
            handle(error, on_error)
    return list(annotations.values())


def read_phoenix14t(
    root: str | Path,
    split: str,
    *,
    on_error: ErrorHandler | None = None,
    needs_frames: bool = True,
) -> list[AnnotatedClip]:
    """Reads the clips of a split, in file order.

    Args:
        root: The folder PHOENIX-2014-T, or one near it, as phoenix14t_root finds it. If it is a
            folder of frames of one size, these are read.
        split: "train", "dev", "test", or "train-complex-annotation" for train's clips with it.
        on_error: Called with the error of each bad row or missing frame folder, which is then left
            out; None raises it.
        needs_frames: Whether there must be frames; otherwise the annotations are enough.

    Raises:
        DataError: There is no such data set or split, or no frames of it; or, without `on_error`,
            a row is bad.
    """
    given, root = Path(root), phoenix14t_root(root)
    files = _annotation_files(root)
    if split not in files:
        expected = f"one of {', '.join(sorted(files))}"
        raise DataError(root / ANNOTATIONS_FOLDER, f"no split {split!r}", expected)
    frames = _frames_folder(root, given, split) if needs_frames else root / FRAMES_FOLDER / split
    clips = []
    for annotation in read_annotations(files[split], on_error=on_error):
        try:
            folder = _clip_folder(frames, annotation) if needs_frames else frames / annotation.name
            clips.append(_to_clip(folder, split, annotation))
        except DataError as error:
            handle(error, on_error)
    return clips


def phoenix14t_root(root: str | Path) -> Path:
    """Finds the folder PHOENIX-2014-T: the given one, one above it, or one or two levels below it.

    Returns the given folder if there is no data set.

    Raises:
        DataError: There are several data sets below.
    """
    root = Path(root)
    if _find_annotations(root) or not root.exists():
        return root
    for above in Path(os.path.abspath(root)).parents[:4]:  # features/fullFrame-210x260px/dev/<name>
        if _find_annotations(above):
            return above
    for depth in ("*", "*/*"):
        found = sorted(folder for folder in root.glob(depth) if _find_annotations(folder))
        if len(found) > 1:
            raise DataError(root, f"{len(found)} data sets", f"one of {', '.join(map(str, found))}")
        if found:
            return found[0]
    return root


def phoenix14t_splits(root: str | Path) -> list[str]:
    """Lists the splits of the data set, without train-complex-annotation: its clips are train's.

    Raises:
        DataError: There is no such data set.
    """
    files = _annotation_files(phoenix14t_root(root))
    return sorted(
        split for split in files if "-" not in split or split.partition("-")[0] not in files
    )


def _find_annotations(root: Path) -> dict[str, Path]:
    prefix, suffix = "PHOENIX-2014-T.", ".corpus.csv"
    files = (root / ANNOTATIONS_FOLDER).glob(f"{prefix}*{suffix}")
    return {file.name.removeprefix(prefix).removesuffix(suffix): file for file in files}


def _annotation_files(root: Path) -> dict[str, Path]:
    files = _find_annotations(root)
    if not files:
        expected = "PHOENIX-2014-T.{train,dev,test}.corpus.csv" + seen_from(root)
        raise DataError(root / ANNOTATIONS_FOLDER, "no annotation files", expected)
    return files


def _parse_row(path: Path, line: int, content: str) -> Annotation:
    fields = [field.strip() for field in content.split("|")]
    if len(fields) != len(HEADER):
        raise DataError(path, f"{len(fields)} fields", f"{len(HEADER)} ({'|'.join(HEADER)})", line)
    row = dict(zip(HEADER, fields, strict=True))
    for column, value in row.items():
        if not value:
            raise DataError(path, f"no {column}", f"a value for {column}", line)
    if row["name"] != Path(row["name"]).name or row["name"] == os.pardir:
        raise DataError(path, f"name {row['name']!r}", "the name of one folder", line)
    if (row["start"], row["end"]) != ("-1", "-1"):
        found = f"start {row['start']} and end {row['end']}"
        raise DataError(path, found, "-1, the whole clip", line)
    glosses = tuple(row["orth"].split())
    return Annotation(row["name"], row["speaker"], glosses, row["translation"], f"{path}:{line}")


def _frames_folder(root: Path, given: Path, split: str) -> Path:
    """Returns the folder with the frames of a split: of the given size, the official one or any."""
    for name in (split, split.partition("-")[0]):  # train-complex-annotation has train's frames
        found = sorted(path for path in root.glob(f"{_FRAMES}/{name}") if path.is_dir())
        place = Path(os.path.abspath(given))
        around = {place, *place.parents}
        chosen = [path for path in found if Path(os.path.abspath(path.parent)) in around]
        chosen = chosen or [path for path in found if path.parent == root / FRAMES_FOLDER] or found
        if len(chosen) > 1:
            sizes = ", ".join(path.parent.name for path in chosen)
            expected = "one, or its path instead of the data set's"
            raise DataError(root / "features", f"frames of several sizes ({sizes})", expected)
        if chosen:
            if len(found) > 1:
                logger.info("frames are read from %s, one of %d sizes", chosen[0], len(found))
            return chosen[0]
    raise DataError(root, f"no frames of split {split!r}", f"a folder {_FRAMES}/{split}")


def _clip_folder(folder: Path, annotation: Annotation) -> Path:
    """Returns the folder with the frames of a clip; raises DataError if there is none."""
    folder = folder / annotation.name
    if not folder.is_dir():
        raise DataError(annotation.origin, "no frame folder", str(folder))
    frames = folder / "1"
    return frames if frames.is_dir() else folder


def _to_clip(folder: Path, split: str, annotation: Annotation) -> AnnotatedClip:
    return AnnotatedClip(
        id=annotation.name,
        source=VideoSource(folder, fps=_FRAMES_PER_SECOND),
        text=annotation.text,
        glosses=annotation.glosses,
        signer=annotation.signer,
        split=split,
        origin=annotation.origin,
        gloss_convention="phoenix14t",
    )
