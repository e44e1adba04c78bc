import errno
import os
import time
from pathlib import Path

import pytest

from slt_fast.errors import DataError, UserError
from slt_fast.files import (
    check_outputs,
    check_writable,
    read_json,
    remove_leftovers,
    replacing,
    replacing_folder,
    write_json,
)


def test_json_is_never_half_written(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"größe": 1.5})
    assert read_json(path) == {"größe": 1.5}
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            write_json(path, {"größe": 2})
    with pytest.raises(TypeError):
        write_json(path, {"größe": object()})
    assert read_json(path) == {"größe": 1.5} and os.listdir(tmp_path) == ["metrics.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"a\.json: found no such file; expected a JSON file"),
        ("{", r"a\.json: found Expecting property name.*; expected a JSON file"),
        ("[1]", r"a\.json: found a JSON list; expected a JSON object"),
    ],
)
def test_json_that_cannot_be_used(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_json(tmp_path / "a.json")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^{tmp_path}: found a folder; expected a JSON file$"):
        read_json(tmp_path)


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old" and temporary.name.startswith(".a.txt.")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("broken off")
        raise ZeroDivisionError
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]


def test_leftovers_of_killed_processes_go_after_an_hour(tmp_path: Path) -> None:
    names = ["whole.txt", ".hidden", ".a.txt.host-1.writing", ".b.txt.host-2.writing"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / ".c.host-3.writing").mkdir()
    (tmp_path / ".c.host-3.writing" / "1.txt").touch()
    for name in (*names[:3], ".c.host-3.writing"):
        os.utime(tmp_path / name, (time.time() - 4000,) * 2)
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*names[:2], names[3]])


def test_a_folder_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "parent" / "a"
    for durable in (True, False):
        with replacing_folder(folder, durable=durable) as temporary:
            (temporary / "1.txt").write_text("new")
            assert not (folder / "1.txt").exists() and temporary.parent == folder.parent
        assert (folder / "1.txt").read_text() == "new"
        (folder / "1.txt").rename(folder / "old.txt")
    with pytest.raises(ZeroDivisionError), replacing_folder(folder) as temporary:
        (temporary / "1.txt").write_text("broken off")
        raise ZeroDivisionError
    assert os.listdir(folder) == ["old.txt"] and os.listdir(folder.parent) == ["a"]


def test_errors_name_the_file_and_no_temporary_name(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "a.json"
    with pytest.raises(FileNotFoundError) as caught:
        write_json(path, {})
    assert str(caught.value) == f"[Errno 2] No such file or directory: '{path}'"
    with pytest.raises(IsADirectoryError, match=f"Is a directory.*'{tmp_path}'"):
        write_json(tmp_path, {})
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "a", tmp_path / "a"):
        with pytest.raises(OSError) as caught, replacing_folder(folder) as temporary:
            write_json(temporary / "gone" / "b.json", {})
        assert ".writing" not in str(caught.value) and str(folder) in str(caught.value)
    with (
        pytest.raises(OSError, match=f"full: {path.parent}") as caught,
        replacing_folder(path.parent) as temporary,
    ):
        raise OSError(f"full: {temporary}")


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    """Python names the file when it opens one, but not when it writes."""
    path = tmp_path / "metrics.json"
    with pytest.raises(OSError, match=r"full.*metrics\.json'$"), replacing(path):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(OSError, match=r"full.*other'$"), replacing(path):
        raise OSError(errno.ENOSPC, "full", "other")
    assert not os.listdir(tmp_path)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(DataError) as caught:
        check_writable(tmp_path / "gone" / "a.json")
    expected = "found no such folder; expected one to write a.json to"
    assert str(caught.value) == f"{tmp_path}/gone: {expected}"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"^gone: {expected} \(looked for in {tmp_path}\)$"):
        check_writable(Path("gone/a.json"))
    with pytest.raises(DataError, match=f"^{tmp_path}: found a folder; expected a file to write"):
        check_writable(tmp_path)
    with pytest.raises(OSError, match="File name too long"):
        check_writable(tmp_path / ("a" * 300))


def test_a_file_that_can_be_written_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    for name in "ab":
        check_writable(tmp_path / name)
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


def refusal(outputs: dict, inputs: dict) -> str:
    with pytest.raises(UserError) as caught:
        check_outputs(outputs, inputs)
    return str(caught.value)


def test_an_output_that_is_an_input_is_refused(tmp_path: Path, monkeypatch) -> None:
    """By whichever name: relative, through links of both kinds, and before the file exists."""
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "source.txt"
    source.write_text("kept")
    (tmp_path / "symbolic").symlink_to("source.txt")
    (tmp_path / "hard").hardlink_to(source)
    (tmp_path / "folder").symlink_to(tmp_path)
    for name in ("source.txt", "./source.txt", "symbolic", "hard", "folder/source.txt"):
        path = Path(name)
        expected = f"--output: found {path}, which belongs to --data; expected another place"
        assert refusal({"--output": path}, {"--other": None, "--data": [source]}) == (
            f"{expected} to write to"
        )
    assert "belongs to --gone" in refusal({"--output": Path("folder/new")}, {"--gone": Path("new")})
    check_outputs({"--output": Path("new"), "--none": None}, {"--data": source, "--more": ()})
    assert sorted(os.listdir()) == ["folder", "hard", "source.txt", "symbolic"]
    assert source.read_text() == "kept"


def test_outputs_stay_out_of_each_other_and_of_folders(tmp_path: Path) -> None:
    inner = tmp_path / "read" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "link").symlink_to(inner)
    (inner / "out").symlink_to(tmp_path / "elsewhere")
    first = tmp_path / "a.csv"
    assert refusal({"--a": first, "--b": first}, {}).startswith(f"--b: found {first}, which")
    assert "belongs to --a" in refusal({"--a": [first, first]}, {})
    for path in (inner / "a.csv", tmp_path / "link" / "a.csv", inner / "out"):
        assert "belongs to --folder" in refusal({"--a": path}, {"--folder": tmp_path / "read"})
    check_outputs({"--a": first, "--b": tmp_path / "b.csv"}, {"--folder": tmp_path / "read"})
    with pytest.raises(DataError, match="no such folder"):
        check_outputs({"--a": tmp_path / "gone" / "a"}, {})
