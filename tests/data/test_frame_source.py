import math
from pathlib import Path

import numpy as np
import pytest

from slt_fast.checkpoint import TrainedOn
from slt_fast.data.frame_source import FrameRate, common_rate, join, with_rate
from slt_fast.data.probes import BlankSource
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.synthetic.corpus import FRAME_RATE
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import UserError
from slt_fast.settings import check_value
from slt_fast.training.run import RunConfig

RENDERED = SyntheticSource("a", ("MOTHER", "SLEEP"), "statement", 0, (0, 1), (32, 32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0.png").touch()
    return tmp_path


@pytest.mark.parametrize("source", [RENDERED, BlankSource(RENDERED)])
@pytest.mark.parametrize("rate", [12.5, 25, 40])
def test_every_source_can_be_resampled(source, rate: float) -> None:
    resampled = with_rate(source, rate)
    expected = round(source.num_frames() * rate / FRAME_RATE)
    assert resampled.num_frames() == len(resampled.read()) == len(list(resampled.frames()))
    assert abs(resampled.num_frames() - expected) <= 1
    assert resampled.frame_rate() == source.frame_rate() == FRAME_RATE
    assert with_rate(source, "native") is source


def test_the_identity_of_a_rendered_clip_holds_the_rate_only_if_there_is_one() -> None:
    place = RENDERED.identity(Path()).place
    assert "rate" not in place
    assert RENDERED.at_rate(12.5).identity(Path()).place == place | {"rate": 12.5}


@pytest.mark.parametrize("fps", [0, -25, 0.5, 1001, math.nan, math.inf, "25", "fast", True])
def test_impossible_rates(fps: object) -> None:
    with pytest.raises(UserError, match=f"fps: found {fps!r}; expected (1 to 1000|a finite )"):
        check_value("fps", FrameRate, fps)
    with pytest.raises(UserError, match="^fps: found"):
        RunConfig(fps=fps)
    with pytest.raises(UserError, match="^fps: found"):
        TrainedOn("synthetic", "train", "dev", "test", "", False, fps=fps)


def test_the_rate_of_most_clips_is_that_of_a_data_set(folder: Path, caplog) -> None:
    folders = [VideoSource(folder, fps=fps) for fps in (25, 25, 30, None, 50, 25.1)]
    unknown = [VideoSource(folder), VideoSource(folder / "gone.mp4")]
    with caplog.at_level("INFO"):
        assert common_rate(folders[:2] + folders[5:]) == 25 and not caplog.messages
        assert common_rate([*unknown, *folders]) == 25.1
    (message,) = caplog.messages
    assert message == "clips have 25 to 50 frames a second; they are resampled to 25.1 (see --fps)"
    caplog.clear()
    assert common_rate(unknown) == "native"
    assert caplog.messages == ["no clip has a known frame rate: they are not resampled (see --fps)"]


@pytest.mark.parametrize("lengths", [[1] * 70, [3, 0, 40, 1, 200], [5], [0, 2]])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16])
def test_parts_are_joined(lengths: list[int], dtype) -> None:
    values = np.random.default_rng(0).integers(0, 99, (sum(lengths), 4, 3)).astype(dtype)
    joined = join(np.split(values, np.cumsum(lengths)[:-1]))
    assert joined.dtype == dtype and joined.nbytes == values.nbytes
    np.testing.assert_array_equal(joined, values)
