from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from slt_fast.errors import UserError
from slt_fast.pretrained import model_card
from slt_fast.recipe import RECIPES

SCORES = {
    "test.bleu4": 88.757,
    "test.bleu4_low": 85.25,
    "test.bleu4_high": 92.02,
    "test.signature": "nrefs:1|case:lc",
    "test.wer": 7.2758,
    "test.num_clips": 160,
    "best_dev_bleu4": 92.6,
}


def test_the_hub_reads_the_scores(trained) -> None:
    text = model_card(trained, "hund", scores=SCORES, note="On a Xeon.", license="mit")
    card = ModelCard(text)
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert found == {"bleu": 88.76, "wer": 7.28}
    assert {result.dataset_split for result in card.data.eval_results} == {"test"}
    assert (card.data.model_name, card.data.license) == ("hund", "mit")
    assert "| BLEU-4 | 88.8 | 85.2 to 92.0 |\n| gloss WER | 7.3 |  |" in text
    assert "`nrefs:1|case:lc`.\n\nOn a Xeon.\n\n## Use" in text
    assert max(len(line) for line in text.splitlines()) <= 120


def test_without_scores(trained) -> None:
    card = ModelCard(model_card(trained, "hund"))
    assert card.data.eval_results is None and card.data.license is None
    assert "## Scores" not in card.text and "2 text units, 1 glosses" in card.text


@pytest.mark.parametrize(
    ("scores", "found"),
    [
        ({}, "None for test.bleu4"),
        ({"dev.bleu4": 9.0}, "None for test.bleu4"),
        ({"test.bleu4": 9.0}, "None for test.num_clips"),
        ({**SCORES, "test.wer": "high"}, "'high' for test.wer"),
        ({**SCORES, "test.bleu4_low": None}, "None for test.bleu4_low"),
    ],
)
def test_other_scores_are_refused(trained, scores, found: str) -> None:
    message = rf"^scores: found {found}; expected a number"
    with pytest.raises(UserError, match=message):
        model_card(trained, "hund", scores=scores)


@pytest.mark.parametrize(
    ("data", "is_drawn"),
    [
        ("synthetic", True),
        ("synthetic-agreement:7", True),
        ("phoenix14t-rendered:PHOENIX", True),
        ("phoenix14t:PHOENIX", False),
        ("manifest:clips.csv", False),
    ],
)
def test_the_limits_are_those_of_the_data(trained, data: str, is_drawn: bool) -> None:
    text = model_card(replace(trained, trained_on=replace(trained.trained_on, data=data)), "hund")
    assert ("knows only a signer drawn by code" in text) == is_drawn
    assert ("the kind of video of its training data" in text) != is_drawn
    assert "research, not an interpreter" in text


def test_a_model_of_glosses(trained) -> None:
    text = model_card(replace(trained, recipe=RECIPES["gloss-to-text"]), "hund")
    assert text.count("glosses to text") == 1 and "pixels" not in text
    assert "translator.translate_glosses(" in text
