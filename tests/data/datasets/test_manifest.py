import json
import re
from pathlib import Path

import pytest

from slt_fast.data.datasets.manifest import read_manifest
from slt_fast.errors import DataError

HEADER = "id,video,text,gloss,signer,split,start,end,fps,remark"
ROWS = [
    "a,a.mp4,first sentence,ONE TWO,anna,train,2,9,25,extra",
    'b,clips/b,"commas, and ""quotes""",,,dev,,,,',
    "c,clips/../a.mp4,grüße ,ONE,,train,,,29.97,",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "clips" / "b").mkdir(parents=True)
    return tmp_path


def write(folder: Path, *lines: str, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_columns(folder: Path) -> None:
    path = write(folder, HEADER, *ROWS)
    first, third = read_manifest(path, "train")
    assert (first.id, first.text, first.glosses) == ("a", "first sentence", ("ONE", "TWO"))
    assert (first.signer, first.split, first.origin) == ("anna", "train", f"{path}:2")
    assert first.source.path == folder / "a.mp4"
    assert (first.source.start, first.source.end, first.source.fps) == (2, 9, 25)
    assert (third.text, third.glosses, third.signer) == ("grüße", ("ONE",), None)
    assert (third.source.start, third.source.end, third.source.fps) == (None, None, 29.97)
    (second,) = read_manifest(path, "dev")
    assert (second.text, second.glosses) == ('commas, and "quotes"', None)


def test_ignored_columns_are_logged_once(folder: Path, caplog) -> None:
    plain = write(folder, "id,video,text,glosses,note", "a,a.mp4,x,ONE,", name="plain.csv")
    row = {"id": "a", "video": "a.mp4", "text": "x", "glosses": ["ONE"], "note": None}
    lines = write(folder, json.dumps(row), json.dumps(row | {"id": "b"}), name="lines.jsonl")
    with caplog.at_level("INFO"):
        for path in (plain, lines, plain, lines):
            read_manifest(path, "train")
        read_manifest(write(folder, HEADER.removesuffix(",remark"), ROWS[1][:-1]), "dev")
    assert caplog.messages == [f"{path}: ignored columns: glosses" for path in (plain, lines)]


def test_formats_agree(folder: Path) -> None:
    columns = HEADER.split(",")
    rows = [["a", "a.mp4", 'say "hi', "G", "s", "train", "1", "2", "25", ""]]
    rows += [["b", "clips/b", "two", "", "", "dev", "", "", "", ""]]
    tsv = write(folder, *("\t".join(row) for row in [columns, *rows]), name="m.tsv")
    objects = [{name: value or None for name, value in zip(columns, row)} for row in rows]  # noqa: B905
    objects[0] |= {"start": 1, "end": 2, "fps": 25.0, "remark": [1, 2]}
    jsonl = write(folder, *map(json.dumps, objects), name="m.jsonl")
    csv_rows = [[f'"{value.replace(chr(34), chr(34) * 2)}"' for value in row] for row in rows]
    csv = write(folder, HEADER, *map(",".join, csv_rows))
    for split in ("train", "dev"):
        (expected,) = read_manifest(csv, split)
        for path in (tsv, jsonl):
            (clip,) = read_manifest(path, split)
            for name in ("id", "source", "text", "glosses", "signer", "split"):
                assert getattr(clip, name) == getattr(expected, name)
    assert read_manifest(jsonl, "dev")[0].origin == f"{jsonl}:2"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_byte_order_mark_line_ends_and_empty_lines(folder: Path, newline: str) -> None:
    path = folder / "m.csv"
    text = newline.join(["id,video,text", "", "a,a.mp4,one\u2028two", "", "b,a.mp4,x", ""])
    path.write_bytes(text.encode("utf-8-sig"))
    clips = read_manifest(path, "train")
    assert [clip.id for clip in clips] == ["a", "b"]
    assert clips[1].origin == f"{path}:5"


def test_without_splits_all_rows_are_train(folder: Path) -> None:
    path = write(folder, "id,video,text", "a,a.mp4,x", "b,a.mp4,y")
    assert [clip.split for clip in read_manifest(path, "train")] == ["train", "train"]
    with pytest.raises(DataError, match=r"m\.csv: found no split 'test'; expected one of train$"):
        read_manifest(path, "test")


def test_unknown_split_names_those_there_are(folder: Path) -> None:
    path = write(folder, HEADER, *ROWS)
    with pytest.raises(DataError, match="found no split 'test'; expected one of train, dev$"):
        read_manifest(path, "test")


def test_symbolic_links_lead_out_of_the_folder_and_paths_do_not(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "v.mp4").touch()
    (folder / "link").symlink_to(elsewhere)
    path = write(folder, "id,video,text", "a,link/v.mp4,x")
    assert read_manifest(path, "train")[0].source.path == folder / "link" / "v.mp4"
    for video in (elsewhere / "v.mp4", folder / "a.mp4", f"../{elsewhere.name}/v.mp4"):
        path = write(folder, "id,video,text", f"a,{video},x")
        with pytest.raises(DataError, match=r":2: found video .*; expected a path inside the man"):
            read_manifest(path, "train")


def test_a_row_does_not_reach_the_home_folder(folder: Path, monkeypatch) -> None:
    home = folder / "home"
    home.mkdir()
    (home / "v.mp4").touch()
    monkeypatch.setenv("HOME", str(home))
    assert Path("~/v.mp4").expanduser() == home / "v.mp4"
    path = write(folder, "id,video,text", "a,~/v.mp4,x")
    message = "found video '~/v.mp4', which does not exist; expected a path inside the manifest's"
    with pytest.raises(DataError, match=message):
        read_manifest(path, "train")
    (folder / "~").mkdir()
    (folder / "~" / "v.mp4").touch()
    assert read_manifest(path, "train")[0].source.path == folder / "~" / "v.mp4"


def test_real_manifest(shared_data: Path) -> None:
    clips = read_manifest(shared_data / "clips" / "manifest.csv", "train")
    assert [clip.id for clip in clips] == ["dailymoth", "lsat1", "lsat2", "autsl", "pose"]
    assert clips[0].text == "a major concern is landslides in mountainous areas ."
    assert clips[0].source.num_frames() == 181


def test_empty_columns_get_no_hint_of_the_format_that_the_file_has(folder: Path) -> None:
    path = folder / "m.csv"
    path.write_text("id,video,text,,,\na,a.mp4,hello,,,\n")
    with pytest.raises(DataError, match="found columns id, video, text, .*, and each once$"):
        read_manifest(path, "train")


@pytest.mark.parametrize(
    ("name", "header", "advice"),
    [
        ("m.csv", "id\tvideo\ttext", "name a file with tabs .tsv"),
        ("m.csv", 'id\tvideo\t"text"\tgloss', "name a file with tabs .tsv"),
        ("m.csv", "id;video;text", "write commas instead of semicolons"),
        ("m.csv", "id|video|text|gloss", "write commas instead of bars"),
        ("m.tsv", "id,video,text", "name a file with commas .csv"),
        (
            "m.csv",
            '{"id": "a", "video": "a.mp4", "text": "x"}',
            "name a file of JSON objects .jsonl",
        ),
    ],
)
def test_a_file_of_another_format_gets_a_hint(
    folder: Path, name: str, header: str, advice: str
) -> None:
    path = write(folder, header, "x", name=name)
    with pytest.raises(DataError, match=rf"expected id, video, text, and each once \({advice}\)$"):
        read_manifest(path, "train")


BAD_ROWS = [
    ("x,a.mp4,hello,,,train", r"found 6 fields; expected 10 \(id, video"),
    ("x,a.mp4,one, two,,,train,,,,", "found 11 fields; expected 10"),
    (",a.mp4,hello,,,train,,,,", "found no id; expected a value for id"),
    ("x,,hello,,,train,,,,", "found no video"),
    ("x,a.mp4,  ,,,train,,,,", "found no text"),
    ("a,a.mp4,hello,,,train,,,,", "found id 'a' again; expected an id not used in line 2"),
    ("b,a.mp4,hello,,,train,,,,", "found id 'b' again; expected an id not used in line 3"),
    ("x,a.mp4,hello,,,,,,,", "found no split; expected one of train, dev"),
    ("x,a.mp4,hello,,,train,two,,,", "found start 'two'; expected a frame number"),
    ("x,a.mp4,hello,,,train,,1.5,,", "found end '1.5'; expected a frame number"),
    ("x,a.mp4,hello,,,train,-1,,,", "found start '-1'; expected a frame number"),
    (
        "x,a.mp4,hello,,,train,5,5,,",
        "found start '5' and end '5'; expected a later end, by a frame or more",
    ),
    ("x,a.mp4,say <UNK>,,,train,,,,", "found '<unk>' in the text; expected words other than <pad>"),
    ("x,a.mp4,hello,A <blank>,,train,,,,", "found '<blank>' in the gloss; expected words other"),
    ("x,a.mp4,hello,,,train,,,0,", "found fps '0'; expected frames per second"),
    ("x,a.mp4,hello,,,train,,,nan,", "found fps 'nan'"),
    ("x,a.mp4,hello,,,train,,,fast,", "found fps 'fast'"),
    ("x,no.mp4,hello,,,train,,,,", "found video 'no.mp4', which does not exist"),
    ("x,../a.mp4,hello,,,train,,,,", "found video '../a.mp4'; expected a path inside"),
    ("x,clips/../../a.mp4,hello,,,train,,,,", "found video .*; expected a path inside"),
    ('x,a.mp4,"hello,,,train,,,,', "found a broken row"),
    ('x,a.mp4,"he"llo,,,train,,,,', "found a broken row"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_bad_row(folder: Path, row: str, message: str) -> None:
    path = write(folder, HEADER, *ROWS, row)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}:5: {message}"):
        read_manifest(path, "train")


def test_bad_rows_can_be_left_out(folder: Path) -> None:
    path = write(folder, HEADER, *(row for row, _ in BAD_ROWS[:5]), *ROWS, BAD_ROWS[6][0])
    errors: list[DataError] = []
    clips = read_manifest(path, "train", on_error=errors.append)
    assert [clip.id for clip in clips] == ["a", "c"]
    assert [error.line for error in errors] == [2, 3, 4, 5, 6, 10]


BAD_OBJECTS = [
    ('{"id": "x", "video": "a.mp4"', "found broken JSON"),
    ("[" * 100_000, "found broken JSON"),
    (
        '{"id": "x", "id": "y", "video": "a.mp4", "text": "t"}',
        "found 'id' 2 times; expected each key once",
    ),
    ('{"id": "x", "video": "a.mp4", "text": "t", "fps": 1, "fps": null}', "found 'fps' 2 times"),
    ('["x", "a.mp4", "hello"]', "found a JSON list; expected one JSON object"),
    ('{"id": "x", "video": "a.mp4"}', "found no text"),
    ('{"id": "x", "video": "a.mp4", "text": null}', "found no text"),
    (
        '{"id": "x", "video": "a.mp4", "text": ["hello"]}',
        r"found text \['hello'\]; expected a string",
    ),
    ('{"id": "x", "video": "a.mp4", "text": true}', "found text True; expected a string"),
    ('{"id": "x", "video": "a\\u0000.mp4", "text": "t"}', "found video .* without NUL"),
    ('{"id": "x", "video": "a.mp4", "text": "\\ud800"}', "found text .* without NUL"),
    ('{"id": "x", "video": "a.mp4", "text": "t", "start": 1.5}', "found start '1.5'"),
    ('{"id": "x", "video": "a.mp4", "text": "t", "fps": NaN}', "found fps nan"),
    (
        '{"id": "x", "video": "a.mp4", "text": NaN}',
        "found text nan; expected a string or a finite number",
    ),
    ('{"id": "x", "video": "a.mp4", "text": 1e999}', "found text inf"),
    (f'{{"id": "x", "video": "a.mp4", "text": "t", "start": {"9" * 400}}}', "found start 999"),
    (f'{{"id": "x", "video": "a.mp4", "text": "t", "fps": {"9" * 400}}}', "found fps 999"),
]


@pytest.mark.parametrize(("row", "message"), BAD_OBJECTS)
def test_bad_json_row(folder: Path, row: str, message: str) -> None:
    good = '{"id": 1, "video": "a.mp4", "text": "one\\ntwo"}'
    path = write(folder, good, row, name="m.jsonl")
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}:2: {message}"):
        read_manifest(path, "train")
    (clip,) = read_manifest(path, "train", on_error=lambda error: None)
    assert (clip.id, clip.text) == ("1", "one two")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", b"", "found an empty file"),
        ("m.csv", b"id,video,text\n", "found no rows"),
        ("m.csv", b"id,video\na,a.mp4\n", ":1: found columns id, video; expected id, video, text"),
        ("m.csv", b"id;video;text\na;a.mp4;x\n", ":1: found columns id;video;text"),
        ("m.csv", b"id,video,text,text\na,a.mp4,x,y\n", ":1: found columns id, video, text, text"),
        (
            "m.csv",
            b"id,video,text\na,a.mp4,x\nb,a.mp4,gr\xfc\xdfe\n",
            ":3: found byte 0xfc; expected UTF-8",
        ),
        ("m.csv", "id,video,text\n".encode("utf-16"), ":1: found byte 0xff; expected UTF-8"),
        ("m.csv", b"id,video,text\na,a.mp4,x\0y\n", ":2: found a NUL byte"),
        ("m.txt", b"id,video,text\n", "found suffix '.txt'; expected .csv, .tsv or .jsonl"),
    ],
)
def test_file_that_is_no_manifest(folder: Path, name: str, content: bytes, message: str) -> None:
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}.*{message}"):
        read_manifest(path, "train", on_error=lambda error: None)


def test_missing_manifest(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no\.csv: found no such file"):
        read_manifest(folder / "no.csv", "train")
    with pytest.raises(DataError, match=f"^{folder}: found a folder; expected an annotation file"):
        read_manifest(folder, "train")
