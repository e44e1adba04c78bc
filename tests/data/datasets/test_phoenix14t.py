import re
from pathlib import Path

import pytest

from slt_fast.data.clip import check_ctc_length
from slt_fast.data.datasets.phoenix14t import (
    phoenix14t_root,
    phoenix14t_splits,
    read_annotations,
    read_phoenix14t,
)
from slt_fast.data.sources import read_videos
from slt_fast.errors import DataError

HEADER = "name|video|start|end|speaker|orth|translation"
ROW = 'monday-1|monday-1/1/*.png|-1|-1|Signer01|REGEN loc-NORD REGEN|im norden "regen'


def write(root: Path, *lines: str, split: str = "train") -> Path:
    folder = root / "annotations" / "manual"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"PHOENIX-2014-T.{split}.corpus.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def frame_folder(root: Path, name: str, split: str = "train", size: str = "210x260") -> Path:
    folder = root / "features" / f"fullFrame-{size}px" / split / name
    folder.mkdir(parents=True)
    return folder


COMPLEX = "train-complex-annotation"


def release(root: Path, *sizes: str) -> Path:
    """A release as it is unpacked: one clip a split, and the fourth annotation file."""
    root = root / "PHOENIX-2014-T-release-v3" / "PHOENIX-2014-T"
    for split in ("train", "dev", "test"):
        write(root, HEADER, ROW.replace("monday-1", f"{split}-1"), split=split)
        for size in sizes:
            (frame_folder(root, f"{split}-1", split, size) / "images0001.png").touch()
    row = ROW.replace("monday-1", "train-1").replace("REGEN", "__ON__ cl-REGEN")
    write(root, HEADER, row, split=COMPLEX)
    return root


def real_layout(root: Path, shared_data: Path, inner: str) -> None:
    """The two real frames in the official layout, beside strays."""
    clips = shared_data / "clips" / "phoenix14t_frames"
    content = (clips / "PHOENIX-2014-T.test.corpus.csv").read_text(encoding="utf-8")
    write(root, *content.splitlines(), split="test")
    (root / "annotations" / "manual" / "PHOENIX-2014-T.test.corpus.csv~").touch()
    frames = frame_folder(root, "25October_2010_Monday_tagesschau-17", "test") / inner
    frames.mkdir(exist_ok=True)
    for number in (1, 2):
        (frames / f"images000{number}.png").symlink_to(clips / f"images000{number}.png")
    (frames / "createDate.txt").touch()


@pytest.mark.parametrize(("split", "num_rows"), [("train", 7096), ("dev", 519), ("test", 642)])
def test_all_real_annotations(shared_data: Path, split: str, num_rows: int) -> None:
    folder = shared_data / "phoenix14t" / "annotations" / "manual"
    rows = read_annotations(folder / f"PHOENIX-2014-T.{split}.corpus.csv")
    assert len(rows) == num_rows
    assert len({row.signer for row in rows}) == 9 or split != "train"
    assert all(row.glosses and row.text and not row.text.endswith(" .") for row in rows)


def test_real_row(shared_data: Path) -> None:
    path = shared_data / "phoenix14t/annotations/manual/PHOENIX-2014-T.dev.corpus.csv"
    row = read_annotations(path)[0]
    assert row.name == "11August_2010_Wednesday_tagesschau-2"
    assert (row.signer, row.glosses) == ("Signer08", ("DRUCK", "TIEF", "KOMMEN"))
    assert row.text == "tiefer luftdruck bestimmt in den nächsten tagen unser wetter"
    assert row.origin == f"{path}:2"


@pytest.mark.parametrize("inner", ["", "1"])
@pytest.mark.parametrize("outer", ["", "PHOENIX-2014-T"])
def test_real_frames_in_the_official_layout(
    tmp_path: Path, shared_data: Path, inner: str, outer: str
) -> None:
    real_layout(tmp_path / outer, shared_data, inner)
    (clip,) = read_phoenix14t(tmp_path, "test")
    assert clip.source.read().shape == (2, 260, 210, 3)
    assert (clip.signer, clip.split, len(clip.glosses)) == ("Signer01", "test", 11)
    assert clip.gloss_convention == "phoenix14t"
    message = (
        r"PHOENIX-2014-T\.test\.corpus\.csv:2: found 2 frames in clip '25October.*at least 11,"
    )
    with pytest.raises(DataError, match=message):
        check_ctc_length(clip, clip.source.num_frames())


def test_quotes_are_text_and_markers_stay(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, ROW, ROW.replace("monday-1", "monday-2"))
    first, second = read_annotations(path)
    assert first.text == 'im norden "regen' and second.name == "monday-2"
    assert first.glosses == ("REGEN", "loc-NORD", "REGEN")


BAD_ROWS = [
    ("x|x/1/*.png|-1|-1|Signer01|REGEN", "found 6 fields; expected 7"),
    (ROW.replace("monday-1", "x") + "|more", "found 8 fields; expected 7"),
    ("x|x/1/*.png|-1|-1|Signer01|REGEN|", "found no translation"),
    ("x|x/1/*.png|-1|-1|Signer01| |regen", "found no orth"),
    ("|x/1/*.png|-1|-1|Signer01|REGEN|regen", "found no name"),
    ("../x|x/1/*.png|-1|-1|Signer01|REGEN|regen", "found name '../x'; expected the name of one"),
    ("..|x/1/*.png|-1|-1|Signer01|REGEN|regen", "found name '..'; expected the name of one"),
    ("x|x/1/*.png|3|9|Signer01|REGEN|regen", "found start 3 and end 9; expected -1"),
    (ROW, "found name 'monday-1' again; expected a name not used in .*:2"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_bad_row(tmp_path: Path, row: str, message: str) -> None:
    path = write(tmp_path, HEADER, ROW, row)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}:3: {message}"):
        read_annotations(path)
    errors: list[DataError] = []
    assert [row.name for row in read_annotations(path, on_error=errors.append)] == ["monday-1"]
    assert [error.line for error in errors] == [3]


def test_missing_frame_folder(tmp_path: Path) -> None:
    write(tmp_path, HEADER, ROW, ROW.replace("monday-1", "monday-2"))
    frame_folder(tmp_path, "monday-2")
    with pytest.raises(
        DataError, match=r"csv:2: found no frame folder; expected .*train.monday-1$"
    ):
        read_phoenix14t(tmp_path, "train")
    errors: list[DataError] = []
    clips = read_phoenix14t(tmp_path, "train", on_error=errors.append)
    assert [clip.id for clip in clips] == ["monday-2"] and len(errors) == 1
    with pytest.raises(DataError, match="monday-2: found no images"):
        clips[0].source.num_frames()


def test_the_whole_release(tmp_path: Path) -> None:
    """What the release holds, and every split that is read unless others are named."""
    root = release(tmp_path, "210x260")
    assert phoenix14t_splits(root) == ["dev", "test", "train"]
    (plain,), (richer,) = read_phoenix14t(root, "train"), read_phoenix14t(root, COMPLEX)
    assert plain.source == richer.source and (plain.id, plain.text) == (richer.id, richer.text)
    assert plain.glosses == ("REGEN", "loc-NORD", "REGEN")
    assert richer.glosses == ("__ON__", "cl-REGEN", "loc-NORD", "__ON__", "cl-REGEN")
    _, sources = read_videos(f"phoenix14t:{root}")
    assert [source.path.name for source in sources] == ["dev-1", "test-1", "train-1"]


@pytest.mark.parametrize("size", ["256x256", "227x227", "210x300"])
def test_resized_frames(tmp_path: Path, caplog, size: str) -> None:
    root = release(tmp_path, size)
    for split in ("train", "dev", "test", COMPLEX):
        (clip,) = read_phoenix14t(root, split)
        assert clip.source.path.parents[1].name == f"fullFrame-{size}px"
    caplog.set_level("INFO")
    other = frame_folder(root, "dev-1", "dev", "256x257").parents[1]
    with pytest.raises(DataError, match=rf"frames of several sizes \(.*{size}px.*\); expected one"):
        read_phoenix14t(root, "dev")
    (clip,) = read_phoenix14t(other, "dev")
    assert clip.source.path.parents[1].name == other.name
    frame_folder(root, "dev-1", "dev")
    (clip,) = read_phoenix14t(root, "dev")
    assert clip.source.path.parents[1].name == "fullFrame-210x260px"
    assert "fullFrame-210x260px/dev, one of 3 sizes" in caplog.text


def test_no_frames_at_all(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no frames of split 'dev'; expected a folder features/ful"
    ):
        read_phoenix14t(release(tmp_path), "dev")


def test_a_level_too_high_or_too_low(tmp_path: Path, monkeypatch) -> None:
    root = release(tmp_path / "data", "210x260")
    frames = root / "features" / "fullFrame-210x260px"
    places = [root, root.parent, root.parents[1], root / "features", frames, frames / "dev"]
    places += [root / "annotations", root / "annotations" / "manual", frames / "dev" / "dev-1"]
    places += [root / "annotations" / "manual" / "PHOENIX-2014-T.dev.corpus.csv"]
    for place in places:
        assert phoenix14t_root(place) == root
        assert [clip.id for clip in read_phoenix14t(place, "dev")] == ["dev-1"]
    monkeypatch.chdir(frames)
    assert phoenix14t_root(".") == root
    assert phoenix14t_root(root / "gone") == root / "gone"
    write(root.parents[1] / "other", HEADER, ROW)
    assert phoenix14t_root(root.parent) == root
    write(root.parent / "copy", HEADER, ROW)
    with pytest.raises(DataError, match=r"v3: found 2 data sets; expected one of .*PHOENIX-2014-T"):
        phoenix14t_root(root.parent)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name|orth", "a|B"], ":1: found header 'name|orth'; expected name|video|start"),
        ([HEADER.replace("|", ",")], ":1: found header 'name,video"),
        ([HEADER], "found no rows"),
    ],
)
def test_file_of_another_kind(tmp_path: Path, lines: list[str], message: str) -> None:
    path = write(tmp_path, *lines)
    with pytest.raises(DataError) as caught:
        read_annotations(path, on_error=lambda error: None)
    assert str(caught.value).startswith(str(path)) and message in str(caught.value)


def test_unknown_split_and_missing_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no annotation files"):
        read_phoenix14t(tmp_path, "train")
    write(tmp_path, HEADER, ROW)
    write(tmp_path, HEADER, ROW, split="dev")
    with pytest.raises(DataError, match="found no split 'valid'; expected one of dev, train$"):
        read_phoenix14t(tmp_path, "valid")
