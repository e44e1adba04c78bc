import pickle
from dataclasses import replace

import numpy as np
import pytest

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.probes import probe, probe_all
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import UserError

SOURCE = SyntheticSource("a", ("MOTHER", "SLEEP"), "negation", 0, (0, 1), (48, 40))
CLIP = AnnotatedClip("a", SOURCE, "text", ("MOTHER", "SLEEP"), "Signer01", "test", "here:1")


def test_blank_keeps_size_and_length_only() -> None:
    source = probe(CLIP, "blank").source
    frames = source.read()
    assert frames.shape == SOURCE.read().shape and frames.dtype == np.uint8
    assert not frames.any()
    assert source.num_frames() == len(frames)
    assert source.name == "a"
    assert not pickle.loads(pickle.dumps(source)).read().any()


def test_neutral_is_the_statement() -> None:
    neutral = probe(CLIP, "neutral").source
    statement = replace(SOURCE, mode="statement")
    assert np.array_equal(neutral.read(), statement.read())
    assert not np.array_equal(neutral.read(), SOURCE.read())


def test_neutral_must_change_a_clip() -> None:
    statement = replace(CLIP, source=replace(SOURCE, mode="statement"))
    assert probe_all([statement, CLIP], "neutral")[0] == statement
    with pytest.raises(UserError, match="found 'neutral' on 2 clips that are all statements"):
        probe_all([statement, statement], "neutral")
    assert probe_all([statement], "blank") == [probe(statement, "blank")]


@pytest.mark.parametrize("name", ["blank", "neutral"])
def test_annotation_stays(name: str) -> None:
    assert replace(probe(CLIP, name), source=SOURCE) == CLIP


@pytest.mark.parametrize(
    ("clip", "name"), [(CLIP, "upside-down"), (replace(CLIP, source=VideoSource("a")), "neutral")]
)
def test_impossible_probe(clip: AnnotatedClip, name: str) -> None:
    with pytest.raises(ValueError, match=f"probe: found '{name}' on clip a; expected blank, or"):
        probe(clip, name)
