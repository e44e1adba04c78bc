import pickle
from dataclasses import replace

import numpy as np
import pytest

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.probes import probe
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.video.source import VideoSource

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


@pytest.mark.parametrize("name", ["blank", "neutral"])
def test_annotation_stays(name: str) -> None:
    assert replace(probe(CLIP, name), source=SOURCE) == CLIP


@pytest.mark.parametrize(
    ("clip", "name"), [(CLIP, "upside-down"), (replace(CLIP, source=VideoSource("a")), "neutral")]
)
def test_impossible_probe(clip: AnnotatedClip, name: str) -> None:
    with pytest.raises(ValueError, match=f"probe: found '{name}' on clip a; expected blank, or"):
        probe(clip, name)
