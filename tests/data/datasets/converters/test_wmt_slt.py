from pathlib import Path

import pytest

from slt_fast.data.datasets.converters.wmt_slt import convert_wmt_slt
from slt_fast.errors import DataError


def cues(texts: list[str]) -> list[str]:
    """Lines of subtitles, whose cues begin each 0.2 seconds and last 0.16."""
    times = [f"00:00:00,{200 * n:03} --> 00:00:00,{200 * n + 160:03}" for n in range(len(texts))]
    return [line for cue in zip(times, texts, strict=True) for line in (*cue, "")]


@pytest.fixture
def root(tmp_path: Path, write_video, write_text) -> Path:
    """Ten cues in three broadcasts."""
    root = tmp_path / "wmt"
    for place, texts in (
        (
            "srf/parallel/{}/srf.2020-03-13",
            ["Guten Abend.", "<i>Das Wetter.</i>", "Regen.", "Ende."],
        ),
        ("srf/parallel/{}/srf.2020-03-14", ["Guten Tag.", "Sonne.", "Bis morgen."]),
        ("focusnews/{}/focusnews.043", ["Hallo.", "Neues.", "Danke."]),
    ):
        write_text(root / f"{place.format('subtitles')}.srt", cues(texts))
        write_video(root / f"{place.format('videos')}.mp4")
    return root


def test_a_clip_a_cue(root: Path, clips_of) -> None:
    conversion, clips = clips_of(convert_wmt_slt, root)
    assert list(conversion.rows) == ["srf.2020-03-13", "srf.2020-03-14", "focusnews.043"]
    assert len(clips) == 10 and {clip.split for clip in clips.values()} == {"train"}
    second = clips["srf.2020-03-13-2"]
    assert (second.text, second.glosses) == ("Das Wetter.", None)
    assert (second.source.start, second.source.end) == (5, 9)
    assert not conversion.missing and not conversion.remarks


def test_one_part_is_enough(root: Path, clips_of) -> None:
    (root / "srf").rename(root.parent / "away")
    assert len(clips_of(convert_wmt_slt, root)[1]) == 3


def test_what_is_not_in_pairs_is_listed(root: Path, clips_of) -> None:
    (root / "focusnews/videos/focusnews.043.mp4").unlink()
    (root / "srf/parallel/subtitles/srf.2020-03-14.srt").unlink()
    conversion, clips = clips_of(convert_wmt_slt, root)
    assert len(clips) == 4
    assert [str(error) for error in conversion.missing] == [
        f"{root}/focusnews/subtitles/focusnews.043.srt: found no video; "
        f"expected {root}/focusnews/videos/focusnews.043.mp4"
    ]
    assert [str(error) for error in conversion.remarks] == [
        f"{root}/srf/parallel/videos/srf.2020-03-14.mp4: found no subtitles; "
        f"expected srf.2020-03-14.srt in {root}/srf/parallel/subtitles; it is left out"
    ]


def test_no_subtitles(tmp_path: Path, clips_of) -> None:
    (tmp_path / "wmt").mkdir()
    message = "srf/parallel/subtitles: found no .srt files; expected one for each video"
    with pytest.raises(DataError, match=message):
        clips_of(convert_wmt_slt, tmp_path / "wmt")
