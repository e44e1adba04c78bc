"""A tiny untrained model, of data whose names hold folders of this machine."""

import pytest

from slt_fast.checkpoint import TrainedModel, TrainedOn, build_network
from slt_fast.data.batching import Vocabularies
from slt_fast.data.vocabulary import GLOSS_SPECIALS, TEXT_SPECIALS, Vocabulary

WORDS = Vocabularies(
    Vocabulary(TEXT_SPECIALS, ("ein", "hund")), Vocabulary(GLOSS_SPECIALS, ("HUND",))
)
TRAINED_ON = TrainedOn(
    "manifest:/secret/clips/hunde.csv",
    "train",
    "dev",
    "test",
    "0" * 64,
    False,
    flow_cache="/secret/flow",
    folder="/secret",
    fps=25.0,
)


@pytest.fixture
def trained(tiny_recipe) -> TrainedModel:
    return TrainedModel(build_network(tiny_recipe, WORDS).eval(), tiny_recipe, WORDS, TRAINED_ON)
