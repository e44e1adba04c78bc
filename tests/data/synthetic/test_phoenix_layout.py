from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slt_fast.data.datasets.phoenix14t import FRAMES_FOLDER, read_annotations, read_phoenix14t
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.synthetic.phoenix_layout import (
    read_rendered_phoenix14t,
    render_annotations,
    stable_number,
)
from slt_fast.errors import DataError

HEADER = "name|video|start|end|speaker|orth|translation"
ROWS = [
    'a-1|a-1/1/*.png|-1|-1|Signer08|REGEN loc-NORD REGEN|im norden "regen',
    "a-2|a-2/1/*.png|-1|-1|Signer01|SONNE|sonne",
    "b-7|b-7/1/*.png|-1|-1|Signer08|MORGEN WOLKE|morgen wölkt es sich ein",
]
SIZE = (80, 64)


def annotations(folder: Path, *rows: str, split: str = "dev") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"PHOENIX-2014-T.{split}.corpus.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def render_all(path: Path, output: Path, **options) -> list[int]:
    return list(render_annotations(path, output, size=SIZE, **options))


def test_what_is_rendered_is_read_back(tmp_path: Path) -> None:
    path = annotations(tmp_path, *ROWS)
    lengths = render_all(path, tmp_path / "out", seed=4)
    clips = read_phoenix14t(tmp_path / "out", "dev")
    assert [clip.source.num_frames() for clip in clips] == lengths
    for clip, row in zip(clips, read_annotations(path), strict=True):
        assert (clip.id, clip.signer, clip.glosses) == (row.name, row.signer, row.glosses)
        assert clip.text == row.text
    # The number follows from the name, and png loses nothing.
    signer, seeds = stable_number("Signer08"), (4, stable_number("b-7"))
    source = SyntheticSource("b-7", ("MORGEN", "WOLKE"), "statement", signer, seeds, SIZE)
    assert np.array_equal(clips[2].source.read(), source.read())


def test_real_frames_are_not_replaced(tmp_path: Path) -> None:
    """A copy of the annotation file lies elsewhere, but its clips have the names of real ones."""
    path = annotations(tmp_path, *ROWS)
    real = tmp_path / "real" / FRAMES_FOLDER / "dev" / "a-1" / "images0001.png"
    real.parent.mkdir(parents=True)
    real.write_bytes(b"real")
    with pytest.raises(DataError, match=r"without RENDERED\.txt, so perhaps real frames"):
        render_all(path, tmp_path / "real")
    assert real.read_bytes() == b"real"
    render_all(path, tmp_path / "rendered")
    assert "drawn signer" in (tmp_path / "rendered" / "RENDERED.txt").read_text()
    assert len(render_all(path, tmp_path / "rendered", limit=1)) == 1  # again


def test_a_person_looks_the_same_in_every_file(tmp_path: Path) -> None:
    render_all(annotations(tmp_path, ROWS[0]), tmp_path / "out")
    render_all(annotations(tmp_path, *ROWS, split="test"), tmp_path / "out")
    (alone,) = read_phoenix14t(tmp_path / "out", "dev")
    among_others = read_phoenix14t(tmp_path / "out", "test")[0]
    assert np.array_equal(alone.source.read(), among_others.source.read())
    assert stable_number("Signer08") == 2327996203
    assert len({stable_number(f"Signer{number:02}") for number in range(1, 10)}) == 9


def test_clips_rendered_on_reading_are_those_on_disk(tmp_path: Path) -> None:
    path = annotations(tmp_path / "annotations" / "manual", *ROWS)
    list(render_annotations(path, tmp_path / "out", size=(112, 112)))
    streamed = read_rendered_phoenix14t(tmp_path, "dev")
    for ours, theirs in zip(streamed, read_phoenix14t(tmp_path / "out", "dev"), strict=True):
        assert replace(ours, source=theirs.source, origin=theirs.origin) == theirs
        assert np.array_equal(ours.source.read(), theirs.source.read())


def test_clips_of_a_split_have_renderings_of_their_own(tmp_path: Path) -> None:
    """The same sentence of the same signer differs by the name of its clip, in any place."""
    folder = tmp_path / "annotations" / "manual"
    names = {"train": ["a-1", "a-2"], "dev": ["b-1", "a-1"]}
    for split, found in names.items():
        rows = [f"{name}|{name}/1/*.png|-1|-1|Signer08|REGEN|regen" for name in found]
        annotations(folder, *rows, split=split)
    train, dev = (read_rendered_phoenix14t(tmp_path, split) for split in names)
    frames = [clip.source.read().tobytes() for clip in (*train, *dev)]
    assert len(set(frames)) == 3 and frames[0] == frames[3]
    assert {clip.source.signer for clip in (*train, *dev)} == {stable_number("Signer08")}


def test_bad_rows_are_left_out(tmp_path: Path) -> None:
    annotations(tmp_path / "annotations" / "manual", *ROWS, "c|c/1/*.png|-1|-1|Signer01|REGEN")
    errors: list[DataError] = []
    assert len(read_rendered_phoenix14t(tmp_path, "dev", on_error=errors.append)) == 3
    assert [error.line for error in errors] == [5]
    with pytest.raises(DataError, match="found no split 'test'; expected one of dev"):
        read_rendered_phoenix14t(tmp_path, "test")


def test_the_whole_data_set_is_rendered_on_reading(shared_data: Path) -> None:
    clips = [
        clip
        for split in ("train", "dev", "test")
        for clip in read_rendered_phoenix14t(shared_data / "phoenix14t", split)
    ]
    assert len(clips) == 7096 + 519 + 642
    assert len({clip.source.seed for clip in clips}) == len(clips)
    assert len({clip.source.signer for clip in clips}) == 9
    frames = clips[7096].source.read()
    assert clips[7096].gloss_convention == "phoenix14t" and frames.shape[1:] == (112, 112, 3)
    assert clips[7096].source.num_frames() == len(frames) > 20


def test_real_sentences(tmp_path: Path, shared_data: Path) -> None:
    path = shared_data / "phoenix14t/annotations/manual/PHOENIX-2014-T.dev.corpus.csv"
    assert len(render_all(path, tmp_path, limit=3)) == 3
    clips = read_phoenix14t(tmp_path, "dev")
    rows = read_annotations(path)[:3]
    assert [(clip.id, clip.text, clip.glosses) for clip in clips] == [
        (row.name, row.text, row.glosses) for row in rows
    ]
    assert all(clip.source.read().shape[1:] == (*SIZE, 3) for clip in clips)


def test_limit_and_rendering_again(tmp_path: Path) -> None:
    path = annotations(tmp_path, *ROWS)
    render_all(path, tmp_path / "out")
    render_all(annotations(tmp_path, *ROWS, split="test"), tmp_path / "out", limit=1)
    render_all(path, tmp_path / "out", limit=2, seed=1)
    assert [clip.id for clip in read_phoenix14t(tmp_path / "out", "dev")] == ["a-1", "a-2"]
    assert [clip.id for clip in read_phoenix14t(tmp_path / "out", "test")] == ["a-1"]


def test_broken_off_rendering_is_no_data_set(tmp_path: Path) -> None:
    path = annotations(tmp_path, *ROWS)
    rendering = render_annotations(path, tmp_path / "out", size=SIZE)
    next(rendering)
    rendering.close()
    with pytest.raises(DataError, match="found no annotation files"):
        read_phoenix14t(tmp_path / "out", "dev")
    assert [file.name for file in (tmp_path / "out" / FRAMES_FOLDER / "dev").iterdir()] == ["a-1"]


def test_frames_that_cannot_be_written_leave_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("cv2.imwrite", lambda path, image: False)
    with pytest.raises(OSError, match="images0001.png: could not write the frame"):
        render_all(annotations(tmp_path, *ROWS), tmp_path / "out")
    left = [file.name for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert left == ["RENDERED.txt"]
    assert not list((tmp_path / "out" / FRAMES_FOLDER / "dev").iterdir())


def test_never_overwrites_the_data_set_it_reads(tmp_path: Path) -> None:
    path = annotations(tmp_path / "annotations" / "manual", *ROWS)
    frame = tmp_path / FRAMES_FOLDER / "dev" / "a-1" / "images0001.png"
    frame.parent.mkdir(parents=True)
    frame.write_text("a real frame")
    with pytest.raises(
        DataError, match="found the annotation file's own data set; expected another"
    ):
        render_all(path, tmp_path)
    (tmp_path / "other").mkdir()
    link = tmp_path / "other" / path.name
    link.hardlink_to(path)
    with pytest.raises(DataError, match="found the annotation file's own data set"):
        render_all(link, tmp_path)
    assert frame.read_text() == "a real frame"
    assert len(read_annotations(path)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit: found 0; expected at least 1"),
        ({"limit": -2}, "limit: found -2; expected at least 1"),
        ({"size": (0, 64)}, r"size: found \(0, 64\); expected at least 1"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(render_annotations(annotations(tmp_path, *ROWS), tmp_path / "out", **options))


@pytest.mark.parametrize("name", ["dev.csv", "PHOENIX-2014-T.dev.csv", "phoenix.dev.corpus.csv"])
def test_file_name_tells_the_split(tmp_path: Path, name: str) -> None:
    path = annotations(tmp_path, *ROWS).rename(tmp_path / name)
    with pytest.raises(DataError, match=r"expected PHOENIX-2014-T\.SPLIT\.corpus\.csv"):
        render_all(path, tmp_path / "out")


def test_bad_row(tmp_path: Path) -> None:
    path = annotations(tmp_path, *ROWS, "c|c/1/*.png|-1|-1|Signer01|REGEN")
    with pytest.raises(DataError, match=r"csv:5: found 6 fields; expected 7"):
        render_all(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
