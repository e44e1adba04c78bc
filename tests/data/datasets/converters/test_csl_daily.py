from pathlib import Path

import pytest

from slt_fast.data.datasets.converters.csl_daily import convert_csl_daily
from slt_fast.data.text import TextUnits
from slt_fast.errors import DataError
from slt_fast.metrics import translation_scores

HEADER = "index|name|length|gloss|char|word|postag"
CHARS = [
    "今 天 天 气 很 好 。",
    "明 天 会 下 雨",
    "你 叫 什 么 名 字 ？",
    "我 看 K T V",
    "他 在 家",
]
NAMES = [f"S{number:06}_P0000_T00" for number in range(10)]
ROWS = [
    f"{number}|{name}|3|今天 天气{number}|{CHARS[number % 5]}|今天 天气|n n"
    for number, name in enumerate(NAMES)
]
SPLITS = ["train"] * 6 + ["dev"] * 2 + ["test"] * 2


@pytest.fixture
def root(tmp_path: Path, write_text) -> Path:
    root = tmp_path / "CSL-Daily"
    write_text(root / "sentence_label/video_map.txt", [HEADER, *ROWS])
    lines = [f"{name}|{split}" for name, split in zip(NAMES, SPLITS, strict=True)]
    write_text(root / "sentence_label/split_1.txt", ["name|split", *lines])
    return root


@pytest.mark.parametrize(
    "place",
    [
        "sentence_frames-512x512",
        "sentence_frames-512x512/frames_512x512",
        "sentence/frames_512x512",
    ],
)
def test_frame_folders_with_glosses(root: Path, clips_of, place: str) -> None:
    for name in NAMES[:9]:
        (root / place / name).mkdir(parents=True)
    conversion, clips = clips_of(convert_csl_daily, root)
    assert list(clips) == NAMES[:9]
    assert [clip.split for clip in clips.values()] == SPLITS[:9]
    first = clips[NAMES[0]]
    assert (first.text, first.glosses) == ("今天天气很好。", ("今天", "天气0"))
    assert clips[NAMES[3]].text == "我看KTV"
    assert (first.source.path, first.source.fps) == (root / place / NAMES[0], 30)
    assert [error.line for error in conversion.missing] == [11] and not conversion.remarks


def test_it_is_learnt_and_scored_by_character(root: Path, clips_of) -> None:
    for name in NAMES:
        (root / "sentence_frames-512x512" / name).mkdir(parents=True)
    texts = [clip.text for clip in clips_of(convert_csl_daily, root)[1].values()]
    units = TextUnits("character")
    assert units.split(texts[0]) == list("今天天气很好。")
    said = [units.join(units.split(text)) for text in texts]
    scores = translation_scores(said, texts)
    assert scores["bleu4"].value == pytest.approx(100)
    assert "tok:char" in scores["bleu4"].signature
    assert scores["rouge_l"].value == pytest.approx(100)


def test_tables_that_do_not_fit(root: Path, write_text, clips_of) -> None:
    for name in NAMES:
        (root / "sentence_frames-512x512" / name).mkdir(parents=True)
    lines = [f"{name}|train" for name in [*NAMES[1:], "S9_P0000_T00"]]
    splits = write_text(root / "sentence_label/split_1.txt", ["name|split", *lines])
    errors: list[DataError] = []
    conversion, clips = clips_of(convert_csl_daily, root, errors.append)
    assert list(clips) == NAMES[1:]
    assert [str(error) for error in errors] == [
        f"{root}/sentence_label/video_map.txt:2: found name {NAMES[0]!r}; "
        "expected one that split_1.txt has"
    ]
    assert [str(error) for error in conversion.remarks] == [
        f"{splits}:11: found name 'S9_P0000_T00'; expected one that video_map.txt has"
    ]
    with pytest.raises(DataError, match=r"video_map\.txt:2: found name"):
        clips_of(convert_csl_daily, root)


@pytest.mark.parametrize("name", ["video_map.txt", "split_1.txt"])
def test_missing_tables(root: Path, clips_of, name: str) -> None:
    (root / "sentence_label" / name).unlink()
    with pytest.raises(DataError, match=f"sentence_label/{name}: found no such file"):
        clips_of(convert_csl_daily, root)


def test_bad_rows(root: Path, write_text, clips_of) -> None:
    path = write_text(root / "sentence_label/video_map.txt", [HEADER, "0|a|3|x"])
    with pytest.raises(DataError, match=f"^{path}:2: found 4 fields; expected 7"):
        clips_of(convert_csl_daily, root)
    path = write_text(root / "sentence_label/split_1.txt", ["name|split", f"{NAMES[0]}|all"])
    with pytest.raises(DataError, match=f"^{path}:2: found split 'all'; expected one of"):
        clips_of(convert_csl_daily, root)
