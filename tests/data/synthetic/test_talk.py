"""Several sentences in one video."""

import numpy as np
import pytest

from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.synthetic.talk import Talk
from slt_fast.errors import UserError


def test_a_talk_holds_its_clips() -> None:
    talk = Talk("test-00000", 2)
    frames, sentences = np.stack(list(talk.frames())), talk.sentences()
    clips = read_synthetic("test")
    assert sentences[0].clip == clips[0] and sentences[1].clip.signer == clips[0].signer
    ends = [0.0]
    for start, end, clip in sentences:
        assert 0.5 <= start - ends[-1] <= 1
        ends.append(end)
        first = round(start * 25)
        assert np.array_equal(frames[first : round(end * 25)], clip.source.read())
        change = np.abs(np.diff(frames[first - 5 : first].astype(int), axis=0)).mean()
        assert change < 3  # the hands rest; noise is in every frame
    assert 0.5 <= len(frames) / 25 - ends[-1] <= 1


def test_what_cannot_be_said() -> None:
    with pytest.raises(UserError, match="clip: found 'test-9'; expected test-00000 to test-00159"):
        Talk("test-9", 2)
    with pytest.raises(UserError, match="sentences: found 99; expected at most"):
        Talk("test-00000", 99)
