from pathlib import Path

import pytest

from slt_fast.data.datasets.converters.dailymoth import convert_dailymoth
from slt_fast.errors import DataError

NAMES = [f"00436{number}-2023.1.{number}" for number in range(10)]
SPLITS = {"train": slice(0, 6), "val": slice(6, 8), "test": slice(8, 10)}


@pytest.fixture
def root(tmp_path: Path, write_text) -> Path:
    root = tmp_path / "dailymoth-70h"
    for split, part in SPLITS.items():
        rows = [f'{name}\t2.0\tThe "moth" says {name}.' for name in NAMES[part]]
        write_text(root / f"manifests/{split}.tsv", rows)
    for name in NAMES[:9]:
        path = root / f"unblurred_clips/videos/00436/{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_clips_with_captions(root: Path, clips_of) -> None:
    conversion, clips = clips_of(convert_dailymoth, root)
    assert list(clips) == [*NAMES[:6], *NAMES[6:8], NAMES[8]]
    assert [clip.split for clip in clips.values()] == ["train"] * 6 + ["dev"] * 2 + ["test"]
    assert clips[NAMES[0]].text == f'The "moth" says {NAMES[0]}.'
    assert [str(error) for error in conversion.missing] == [
        f"{root}/manifests/test.tsv:2: found no video; "
        f"expected {root}/unblurred_clips/videos/00436/{NAMES[9]}.mp4"
    ]


def test_other_places_a_header_and_suffixes(root: Path, write_text, clips_of) -> None:
    rows = [f"{name}.mp4\t2.0\tx" for name in NAMES]
    header = "video_name\tduration\tcaption"
    for path in (root / "manifests").iterdir():
        path.unlink()
    write_text(root / "manifests/dev.tsv", [header, *rows])
    (root / "unblurred_clips").rename(root / "blurred_clips")
    (root / "manifests").rename(root / "blurred_clips/manifests")
    assert list(clips_of(convert_dailymoth, root)[1]) == NAMES[:9]
    assert list(clips_of(convert_dailymoth, root / "blurred_clips")[1]) == NAMES[:9]


def test_bad_tables(root: Path, write_text, clips_of) -> None:
    path = write_text(root / "manifests/train.tsv", [f"{NAMES[0]}\tx"])
    with pytest.raises(DataError, match=f"^{path}:1: found 2 fields; expected 3"):
        clips_of(convert_dailymoth, root)
    for path in (root / "manifests").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="manifests: found no tables; expected some of train.tsv"):
        clips_of(convert_dailymoth, root)
