from pathlib import Path

import pytest

from slt_fast.data.datasets.converters.conversion import Conversion, split_of
from slt_fast.data.datasets.rows import error_at_line
from slt_fast.errors import DataError

COLUMNS = ("name", "text")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "set" / "a").mkdir(parents=True)
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name|other", "a|x"], ":1: found columns name, other; expected columns name, text"),
        (["name|text", "a"], r":2: found 1 fields; expected 2 \(name, text\)"),
        (["name|text", "a| "], ":2: found no text; expected a value for text"),
        ([""], ": found an empty file"),
    ],
)
def test_bad_tables(root: Path, lines: list[str], message: str) -> None:
    path = root / "t.txt"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"^{path}{message}"):
        list(Conversion(root, root).table(path, "|", COLUMNS))
    errors: list[DataError] = []
    path.write_text("\n".join([*lines, "b|y"]))
    list(Conversion(root, root, errors.append).table(path, "|", COLUMNS))
    assert len(errors) == 1


def test_a_table_that_is_missing_or_not_utf8(root: Path) -> None:
    with pytest.raises(DataError, match=r"t\.txt: found no such file"):
        list(Conversion(root, root).table(root / "t.txt", "|", COLUMNS))
    (root / "t.txt").write_bytes(b"name|text\na|gr\xfc\xdfe\n")
    with pytest.raises(DataError, match=r"t\.txt:2: found byte 0xfc; expected UTF-8"):
        list(Conversion(root, root).table(root / "t.txt", "|", COLUMNS))


def test_bad_rows_leave_the_others(root: Path) -> None:
    path, errors = root / "t.txt", []
    path.write_text("name|text|more\na|x|1\nb|\nc|z|3")
    rows = list(Conversion(root, root, errors.append).table(path, "|", COLUMNS))
    assert [row["name"] for _, row in rows] == ["a", "c"]
    assert [error.line for error in errors] == [3]


def test_a_manifest_is_a_table_of_the_columns_that_occur(root: Path) -> None:
    conversion = Conversion(root, root.parent)
    error_at = error_at_line(root / "t.txt", 7)
    conversion.add(error_at, root / "a", {"id": "1", "text": ' "one"\ttwo\x1f', "gloss": ""})
    conversion.add(error_at, root / "b", {"id": "2", "text": "gone"})
    assert conversion.manifest() == 'id\tvideo\ttext\n1\tset/a\t"one" two\n'
    assert [str(error) for error in conversion.missing] == [
        f"{root}/t.txt:7: found no video; expected {root}/b"
    ]
    for video, id_, message in (
        (root / "a", "1", "found id '1' again; expected an id of its own"),
        (root / "../b", "3", "expected a path inside the data set's folder"),
    ):
        with pytest.raises(DataError, match=message):
            conversion.add(error_at, video, {"id": id_, "text": "x"})
    (root / "a\tb").mkdir()
    with pytest.raises(DataError, match="expected one without tabs"):
        conversion.add(error_at, root / "a\tb", {"id": "4", "text": "x"})


def test_no_row_with_a_video(root: Path) -> None:
    conversion = Conversion(root, root)
    conversion.add(error_at_line(root / "t.txt", 2), root / "b", {"id": "2", "text": "gone"})
    with pytest.raises(DataError, match="found no row with a video, and 1 without; expected at"):
        conversion.manifest()


def test_folders(root: Path) -> None:
    with pytest.raises(DataError, match="found no such folder; expected the folder of the data"):
        Conversion(root / "b", root)
    with pytest.raises(DataError, match="found a folder outside of the manifest's; .* --folder"):
        Conversion(root, root / "a")


def test_splits() -> None:
    error_at = error_at_line(Path("t"), 2)
    names = ("train", "val", "valid", "dev", "test")
    found = [split_of(error_at, "split", name) for name in names]
    assert found == ["train", "dev", "dev", "dev", "test"]
    with pytest.raises(DataError, match="t:2: found split 'all'; expected one of train, dev"):
        split_of(error_at, "split", "all")
