import json
from pathlib import Path

import pytest

from slt_fast.data.crop import Crop
from slt_fast.data.datasets.converters.openasl import convert_openasl
from slt_fast.errors import DataError

HEADER = "vid\tyid\tstart\tend\traw-text\ttokenized-text\tgloss\tsplit"
TIMES = [(0, 400), (400, 800), (800, 1200), (1200, 1600), (1600, 1920)]


def row(yid: str, start: int, end: int, split: str) -> str:
    first, last = f"00:00:{start / 1000:06.3f}", f"00:00:{end / 1000:06.3f}"
    text = f'Text "of" {yid} at {start}.'
    return f"{yid}-{first}-{last}\t{yid}\t{first}\t{last}\t{text}\ttokens\t\t{split}"


ROWS = [
    *(row("-Mci9", *times, split) for times, split in zip(TIMES, ["train"] * 3 + ["valid"] * 2)),  # noqa: B905
    *(row("oyb5V", *times, "test") for times in TIMES[:4]),
    row("gone", 0, 400, "train"),
]
VIDS = [line.split("\t")[0] for line in ROWS]
BOXES = {
    VIDS[0]: [0.25, 0.0, 0.75, 1.0],  # 32x48 pixels of 64x48
    VIDS[1]: [0.0, 0.5, 0.5, 0.75],  # 32x12
    VIDS[2]: [0, 0, 1, 1],
    VIDS[3]: [0.5, 0.5, 1.25, 1.0],  # partly outside
    **{vid: [0.1, 0.1, 0.9, 0.9] for vid in VIDS[4:-2]},
}


@pytest.fixture
def root(tmp_path: Path, write_video, write_text) -> Path:
    root = tmp_path / "OpenASL"
    for name in ("-Mci9", "oyb5V"):
        write_video(root / "raw" / f"{name}.mp4")
    write_text(root / "data/openasl-v1.0.tsv", [HEADER, *ROWS])
    (root / "data/bbox-v1.0.json").write_text(json.dumps(BOXES))
    return root


def test_sentences_with_boxes(root: Path, clips_of) -> None:
    conversion, clips = clips_of(convert_openasl, root)
    found = list(clips.values())
    assert list(clips) == VIDS[:-1]
    assert [clip.split for clip in found] == ["train"] * 3 + ["dev"] * 2 + ["test"] * 4
    assert [(clip.source.start, clip.source.end) for clip in found[:3]] == [
        (0, 10),
        (10, 20),
        (20, 30),
    ]
    assert [clip.source.crop for clip in found[:4]] == [
        Crop(8, 0, 48, 48),
        Crop(0, 14, 32, 32),
        Crop(0, 0, 64, 48),
        Crop(32, 12, 32, 36),
    ]
    assert found[0].text == 'Text "of" -Mci9 at 0.' and found[-1].source.crop is None
    assert found[0].source.read().shape == (10, 48, 48, 3)
    table = root / "data/openasl-v1.0.tsv"
    assert [str(error) for error in conversion.missing] == [
        f"{table}:11: found no video; expected {root}/raw/gone.mp4"
    ]
    assert [str(error).split(";")[0] for error in conversion.remarks] == [
        f"{table}:{line}: found no box of {VIDS[line - 2]}" for line in (10, 11)
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({2: "4.2"}, "found start '4.2'; expected hours, minutes and seconds"),
        ({2: "00:00:03.000", 3: "00:00:04.000"}, "found start '00:00:03.000'; .* last 2.00 sec"),
        ({7: "rest"}, "found split 'rest'; expected one of train, dev, val, valid, test"),
        ({4: ""}, "found no raw-text"),
        (
            {0: "flat"},
            r"found the box \[0.5, 0.5, 0.5, 0.9\]; expected one of a pixel or more in 6",
        ),
        ({0: "odd"}, r"found the box \[0, 1\]; expected x0, y0, x1, y1 as shares"),
    ],
)
def test_bad_rows(root: Path, write_text, clips_of, values: dict[int, str], message: str) -> None:
    boxes = {"flat": [0.5, 0.5, 0.5, 0.9], "odd": [0, 1]}
    (root / "data/bbox-v1.0.json").write_text(json.dumps({**BOXES, **boxes}))
    bad = ROWS[0].split("\t")
    for column, value in values.items():
        bad[column] = value
    path = write_text(root / "data/openasl-v1.0.tsv", [HEADER, ROWS[1], "\t".join(bad)])
    with pytest.raises(DataError, match=f"^{path}:3: {message}"):
        clips_of(convert_openasl, root)


@pytest.mark.parametrize("name", ["openasl-v1.0.tsv", "bbox-v1.0.json"])
def test_missing_files(root: Path, clips_of, name: str) -> None:
    (root / "data" / name).unlink()
    with pytest.raises(DataError, match=f"data/{name}: found no such file"):
        clips_of(convert_openasl, root)


def test_other_places(root: Path, clips_of) -> None:
    for file in list((root / "data").iterdir()):
        file.rename(root / file.name)
    (root / "raw").rename(root / "videos")
    assert len(clips_of(convert_openasl, root)[1]) == 9
