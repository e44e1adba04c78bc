from collections.abc import Sequence

import pytest
import torch

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.input import InputConfig
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.synthetic.signs import sign_for
from slt_fast.inference.attention import ClipAttention
from slt_fast.inference.translate import Translation
from slt_fast.metrics.score import Score
from slt_fast.training import diagnosis
from slt_fast.training.diagnosis import Finding
from slt_fast.training.evaluation import Evaluation, score


def clip(
    text: str, glosses: str = "MOTHER", *, is_real: bool = False, sides: tuple[int, ...] = ()
) -> AnnotatedClip:
    source = SyntheticSource("a", tuple(glosses.split()), "statement", 0, (0, 0), sides=sides)
    source = object() if is_real else source
    return AnnotatedClip("a", source, text, tuple(glosses.split()), None, "dev", "file:1")


def evaluation(
    texts: Sequence[str], references: Sequence[str], *, bleu4: float = 50.0, text: float = 1.0
) -> Evaluation:
    return Evaluation(
        {"bleu4": Score(bleu4)},
        [clip(reference) for reference in references],
        [Translation(text, ()) for text in texts],
        {"text": text},
    )


def scored(bleu4: float) -> Evaluation:
    return evaluation(["a"], ["a dog sleeps here"], bleu4=bleu4)


@pytest.mark.parametrize(
    ("train", "dev", "is_bad", "means"),
    [(80, 70, False, ""), (80, 30, True, "learned by heart"), (3, 3, True, "not even learned")],
)
def test_the_gap_between_train_and_dev(train: int, dev: int, is_bad: bool, means: str) -> None:
    finding = diagnosis.gap(scored(train), scored(dev))
    assert finding.is_bad == is_bad and means in finding.means
    assert finding.figures["train.bleu4"] == train and finding.figures["dev.bleu4"] == dev
    assert finding.figures["dev.text"] == 1


def test_short_texts_are_compared_by_exact_matches() -> None:
    """None has four tokens, so BLEU-4 is 0 even where all is right."""
    texts = ["thank you", "hello", "good morning"]
    clips, said = [clip(text) for text in texts], [Translation(text, ()) for text in texts]
    right = Evaluation(score(clips, said), clips, said, {"text": 0.1})
    assert right.value("bleu4") == 0
    finding = diagnosis.gap(right, right)
    assert not finding.is_bad and finding.figures["dev.exact_match"] == 100
    others = [*said[1:], said[0]]
    wrong = Evaluation(score(clips, others), clips, others, {"text": 3.0})
    assert "learned by heart" in diagnosis.gap(right, wrong).means
    assert "not even learned" in diagnosis.gap(wrong, wrong).means


def bad_outputs(texts: Sequence[str], references: Sequence[str]) -> set[str]:
    found = diagnosis.outputs(evaluation(texts, references))
    return {finding.name for finding in found if finding.is_bad}


def test_what_is_wrong_with_translations() -> None:
    references = ["a dog sleeps", "the mother works", "he reads", "rain"]
    assert bad_outputs(references, references) == set()
    same = ["a dog sleeps"] * 3 + ["rain"]
    assert bad_outputs(same, references) == {"repeated translations"}
    assert bad_outputs([*references[:3], ""], references) == {"empty translations"}
    short = ["a", "the", "he", "rain"]
    assert bad_outputs(short, references) == {"length of translations"}
    long = [f"{text} and {number} more words" for number, text in enumerate(references)]
    assert bad_outputs(long, references) == {"length of translations"}
    assert bad_outputs(["rain"], ["rain"]) == set()  # one clip repeats nothing


def attention(*, far: float, change: float) -> ClipAttention:
    none = torch.zeros(2, 7, 7)
    queries = torch.zeros(2, 2, dtype=torch.long)
    return ClipAttention(none, torch.zeros(1, 2), queries, none, far, gamma=0.5, change=change)


def test_local_attention_and_attention_that_changes_nothing() -> None:
    good = diagnosis.locality([attention(far=0.3, change=0.2), attention(far=0.5, change=0.2)])
    assert not good.is_bad and good.figures["far_share"] == pytest.approx(0.4)
    local = diagnosis.locality([attention(far=0.1, change=0.2)])
    assert local.is_bad and "near its place" in local.means
    idle = diagnosis.locality([attention(far=0.4, change=0.001)])
    assert idle.is_bad and "hardly anything" in idle.means


def test_motion() -> None:
    config = InputConfig(flow_bound=4.0)
    moving, still, fast = torch.full((3, 3, 4, 4), 0.2)
    still = still * 0.1  # a tenth of 0.8 pixels
    fast = fast.clone()
    fast[0] = 1.0  # a third of the pixels

    def bad(*motions: torch.Tensor) -> dict[str, float]:
        found = diagnosis.flow(motions, config)
        return {each.name: each.figures["share"] for each in found if each.is_bad}

    assert bad(moving, moving) == {}
    assert bad(moving, still) == {"clips without motion": 0.5}
    assert bad(moving, fast) == {"motion beyond the bound": pytest.approx(1 / 6)}


def confused(pairs: Sequence[tuple[str, str]], **options) -> list[Finding]:
    clips = [clip("a", true, **options) for _, true in pairs]
    said = [Translation("a", tuple(recognised.split())) for recognised, _ in pairs]
    return list(diagnosis.minimal_pairs(Evaluation({}, clips, said)))


def test_signs_that_differ_in_one_parameter() -> None:
    pairs = [
        ("MOTHER SLEEP", "FATHER SLEEP"),  # location
        ("DOCTOR", "MOTHER"),  # handshape
        ("DOG SLEEP", "DOG REST"),  # hands
        ("BRING", "BUY"),  # movement
        ("APPLE", "YOU"),  # several
        ("SEE", "SEE BOOK"),  # a deletion
    ]
    (finding,) = confused(pairs)
    assert finding.is_bad and finding.found.startswith("4 of 5 substitutions: ")
    expected = {"location": 1, "handshape": 1, "hands": 1, "movement": 1}
    assert finding.figures == {"substitutions": 5, "in_one": 4, **expected}
    (few,) = confused(pairs[:2])
    assert not few.is_bad
    (right,) = confused([("MOTHER", "MOTHER")])
    assert not right.is_bad and right.found == "0 of 0 substitutions"
    assert confused(pairs, is_real=True) == []  # nothing is known of its signs
    assert confused(pairs[1:2], sides=(1,)) == []  # pairs share a sign


def test_glosses_that_share_a_sign() -> None:
    """As some of PHOENIX-2014-T's do when they are drawn."""
    first = "GLOSS0"
    same = next(f"G{n}" for n in range(10**6) if sign_for(f"G{n}") == sign_for(first))
    (finding,) = confused([(first, same)])
    assert finding.figures == {"substitutions": 1, "in_one": 1, "nothing": 1}
