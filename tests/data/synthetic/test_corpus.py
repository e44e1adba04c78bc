import pickle
from collections import Counter

import numpy as np
import pytest

from slt_fast.data.clip import check_ctc_length
from slt_fast.data.synthetic import SyntheticSource, read_synthetic
from slt_fast.data.synthetic.corpus import NUM_CLIPS
from slt_fast.data.synthetic.signs import AGREEMENT_PAIRS, agreeing_sign

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


def test_the_glosses_of_a_pair_are_equally_likely_for_each_side_and_each_turn() -> None:
    """Neither the hand's side nor the head's turn says which gloss of a pair it is."""
    clips = read_synthetic("train", agreement=True)
    first = {gloss: number == 0 for pair in AGREEMENT_PAIRS for number, gloss in enumerate(pair)}
    counts: Counter = Counter()
    for clip in clips:
        for gloss, side in zip(clip.glosses, clip.source.sides, strict=True):
            if gloss in first:
                turn = agreeing_sign(gloss, side).turn
                counts.update([("side", side, first[gloss]), ("turn", turn, first[gloss])])
                counts.update([("both", side * turn, first[gloss])])
    for name in ("side", "turn"):
        for value in (-1, 1):
            share = counts[name, value, True] / sum(counts[name, value, b] for b in (True, False))
            assert abs(share - 0.5) < 0.05
    assert not counts["both", 1, False] and not counts["both", -1, True]


def test_the_corpus_with_agreement() -> None:
    clips = {split: read_synthetic(split, agreement=True) for split in NUM_CLIPS}
    assert clips["dev"] == read_synthetic("dev", agreement=True) != SPLITS["dev"]
    assert {clip.source.mode for clip in clips["train"]} == {"statement", "question"}
    texts = {split: {clip.text for clip in clips[split]} for split in clips}
    assert not texts["test"] & texts["train"] and not texts["dev"] & texts["train"]
    clip = clips["test"][3]
    assert clip.origin == "synthetic corpus with agreement, seed 0: test-00003"
    frames, neutral = clip.source.read(), clip.source.neutral().read()
    assert len(frames) == clip.source.num_frames() and not np.array_equal(frames, neutral)
    for clip in (*clips["train"], *clips["test"]):
        check_ctc_length(clip, clip.source.num_frames())


def test_only_clips_with_agreement_have_sides_in_their_place(tmp_path) -> None:
    plain, agreeing = (read_synthetic("dev", agreement=each)[0].source for each in (False, True))
    assert "sides" not in plain.place(tmp_path)[1]
    assert agreeing.place(tmp_path)[1]["sides"] == agreeing.sides
