import pickle

import numpy as np
import pytest

from slt_fast.data.clip import check_ctc_length
from slt_fast.data.synthetic import SyntheticSource, read_synthetic
from slt_fast.data.synthetic.corpus import NUM_CLIPS

SPLITS = {split: read_synthetic(split) for split in NUM_CLIPS}


def sentences(split: str) -> set:
    return {(clip.glosses, clip.source.mode) for clip in SPLITS[split]}


def test_test_signers_are_unseen() -> None:
    signers = {split: {clip.signer for clip in clips} for split, clips in SPLITS.items()}
    for split in ("dev", "test", "test_signers"):
        assert not signers[split] & signers["train"]
    assert not signers["dev"] & signers["test"]
    assert signers["test"] == signers["test_signers"]
    assert len(signers["train"]) >= 12 and len(signers["test"]) >= 4


def test_test_sentences_are_unseen() -> None:
    texts = {split: {clip.text for clip in clips} for split, clips in SPLITS.items()}
    for split in ("dev", "test"):
        assert not sentences(split) & sentences("train")
        assert not texts[split] & texts["train"]
    assert sentences("test_signers") <= sentences("train")


def test_training_knows_every_word_and_gloss_of_the_test() -> None:
    words = {
        split: {w for clip in clips for w in clip.text.split()} for split, clips in SPLITS.items()
    }
    glosses = {
        split: {g for clip in clips for g in clip.glosses} for split, clips in SPLITS.items()
    }
    assert words["test"] <= words["train"] and glosses["test"] <= glosses["train"]


def test_clips_have_names_and_sizes() -> None:
    clips = [clip for clips in SPLITS.values() for clip in clips]
    assert len({clip.id for clip in clips}) == len(clips)
    assert {split: len(clips) for split, clips in SPLITS.items()} == NUM_CLIPS
    for split, clips in SPLITS.items():
        assert {clip.split for clip in clips} == {split}
        assert {clip.source.mode for clip in clips} == {"statement", "negation", "question"}
    assert SPLITS["dev"][3].origin == "synthetic corpus, seed 0: dev-00003"


@pytest.mark.parametrize("split", NUM_CLIPS)
def test_every_clip_can_be_read(split: str) -> None:
    for clip in SPLITS[split][:12]:
        frames = clip.source.read()
        assert len(frames) == clip.source.num_frames()
        assert frames.shape[1:] == (*clip.source.size, 3)
        check_ctc_length(clip, len(frames))


def test_every_clip_is_long_enough_for_ctc() -> None:
    for clip in SPLITS["train"]:
        check_ctc_length(clip, clip.source.num_frames())


def test_all_follows_from_the_seed() -> None:
    again, other = read_synthetic("test"), read_synthetic("test", seed=1)
    assert again == SPLITS["test"]
    assert [clip.text for clip in other] != [clip.text for clip in again]
    first, second = again[0].source, SPLITS["test"][0].source
    assert np.array_equal(first.read(), second.read())
    assert np.array_equal(pickle.loads(pickle.dumps(first)).read(), second.read())
    assert not np.array_equal(other[0].source.read()[0], second.read()[0])


def test_two_clips_of_one_sentence_and_signer_differ() -> None:
    sources = [SyntheticSource("a", ("MOTHER", "SLEEP"), "statement", 0, (0, n)) for n in (1, 2)]
    first, second = (source.read()[:8].astype(int) for source in sources)
    assert np.abs(first - second).max() > 30


def test_a_shorter_split_is_the_beginning_of_the_longer_one() -> None:
    assert read_synthetic("dev", num_clips=5) == SPLITS["dev"][:5]


def test_without_non_manuals_modes_look_alike() -> None:
    first, second, third = (
        SyntheticSource(
            "a", ("MOTHER", "SLEEP"), mode, 0, (0, 1), (64, 64), non_manual=shown
        ).read()
        for mode, shown in (("negation", False), ("statement", False), ("negation", True))
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_any_gloss_sequence_can_be_rendered() -> None:
    source = SyntheticSource("a", ("MORGEN", "loc-NORD", "REGEN"), "statement", 3, (0, 0), (80, 64))
    assert source.read().shape == (source.num_frames(), 80, 64, 3)


def test_unknown_split() -> None:
    with pytest.raises(ValueError, match=r"found split 'valid'; expected \('train', 'dev'"):
        read_synthetic("valid")
