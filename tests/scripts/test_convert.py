import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from slt_fast.data.sources import read_split

NAMES = [f"S{number:06}_P0000_T00" for number in range(4)]
CHARS = ["今 天 天 气 很 好", "明 天 会 下 雨", "今 天 会 下 雨", "明 天 天 气 很 好"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """CSL-Daily in small: four clips, the frames of three of them."""
    root = tmp_path / "csl"
    (root / "sentence_label").mkdir(parents=True)
    rows = [f"{n}|{name}|12|今天 好|{CHARS[n]}|w|n" for n, name in enumerate(NAMES)]
    header = "index|name|length|gloss|char|word|postag"
    (root / "sentence_label/video_map.txt").write_text("\n".join([header, *rows]))
    splits = ["name|split", *(f"{name}|train" for name in NAMES)]
    (root / "sentence_label/split_1.txt").write_text("\n".join(splits))
    for name in NAMES[:3]:
        folder = root / "sentence_frames-512x512" / name
        folder.mkdir(parents=True)
        for number in range(12):
            image = np.random.randint(0, 255, (48, 48, 3), np.uint8)
            cv2.imwrite(str(folder / f"{number:06}.jpg"), image)
    return root


def test_a_manifest_on_standard_output(run_script, root: Path, monkeypatch, caplog) -> None:
    monkeypatch.chdir(root.parent)
    with caplog.at_level("INFO"):
        finished = run_script("convert.py", "csl-daily", "csl")
    assert finished.status == 0, finished.err
    lines = finished.out.splitlines()
    assert lines[0] == "id\tvideo\ttext\tgloss\tsplit\tfps" and len(lines) == 4
    assert lines[1].split("\t")[1] == f"csl/sentence_frames-512x512/{NAMES[0]}"
    missing = f"csl/sentence_frames-512x512/{NAMES[3]}"
    assert caplog.messages == [
        f"left out: csl/sentence_label/video_map.txt:5: found no video; expected {missing}",
        "wrote 3 rows; left out 1 whose video is missing and 0 bad ones; 0 remarks",
        "train with --text-units character; scores are by character by themselves",
    ]
    Path("manifest.tsv").write_text(finished.out, encoding="utf-8")
    assert [clip.id for clip in read_split("manifest:manifest.tsv", "train")] == NAMES[:3]


def test_the_folder_of_the_manifest(run_script, root: Path, monkeypatch) -> None:
    (root.parent / "other").mkdir()
    monkeypatch.chdir(root.parent / "other")
    refused = run_script("convert.py", "csl-daily", root)
    assert (refused.status, refused.out) == (1, "")
    assert "found a folder outside of the manifest's; expected one inside" in refused.err
    finished = run_script("convert.py", "csl-daily", root, "--folder", root)
    assert f"\tsentence_frames-512x512/{NAMES[0]}\t" in finished.out


def test_bad_rows_stop_or_are_left_out(run_script, root: Path, caplog) -> None:
    path = root / "sentence_label/split_1.txt"
    path.write_text("\n".join(["name|split", *(f"{name}|train" for name in NAMES[1:])]))
    refused = run_script("convert.py", "csl-daily", root, "--folder", root)
    bad = f"video_map.txt:2: found name '{NAMES[0]}'; expected one that split_1.txt has"
    assert (refused.status, refused.out) == (1, "") and bad in refused.err
    finished = run_script("convert.py", "csl-daily", root, "--folder", root, "--skip-bad")
    assert finished.status == 0 and len(finished.out.splitlines()) == 3
    assert any(message.startswith("left out") and bad in message for message in caplog.messages)


def test_a_run_on_csl_daily_is_scored_by_character(
    run_script, root: Path, tiny_options, tmp_path: Path, one_thread
) -> None:
    finished = run_script("convert.py", "csl-daily", root, "--folder", root)
    path, run = root / "manifest.tsv", tmp_path / "run"
    path.write_text(finished.out, encoding="utf-8")
    splits = [option for part in ("dev", "test") for option in (f"--{part}-split", "train")]
    options = [*tiny_options, "--data", f"manifest:{path}", *splits, "--epochs", 1]
    trained = run_script("train.py", *options, "--text-units", "character", "--output", run)
    assert trained.status == 0, trained.err
    assert "tok:char" in trained.out
    metrics = json.loads((run / "metrics.json").read_text())
    assert "tok:char" in metrics["train.signature"]
