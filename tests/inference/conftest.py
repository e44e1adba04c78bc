"""A small model, untrained, that says different things of different clips."""

import pytest
import torch

from slt_fast.checkpoint import TrainedModel, TrainedOn, build_network
from slt_fast.data.batching import Vocabularies
from slt_fast.data.input import InputConfig
from slt_fast.data.vocabulary import GLOSS_SPECIALS, TEXT_SPECIALS, Vocabulary
from slt_fast.model.config import ModelConfig
from slt_fast.recipe import Recipe, SearchConfig, TrainingConfig

TRAINED_ON = TrainedOn("synthetic", "train", "dev", "test", "0" * 64, False)
WORDS = Vocabularies(
    Vocabulary(TEXT_SPECIALS, ("ein", "hund", "schläft")),
    Vocabulary(GLOSS_SPECIALS, ("HUND", "SCHLAF")),
)


@pytest.fixture
def trained() -> TrainedModel:
    recipe = Recipe(
        input=InputConfig(image_size=32, flow_preset="fast"),
        model=ModelConfig(
            backbone_stages=1,
            backbone_weights="none",
            memory_map_size=(2, 2),
            width=32,
            decoder_layers=1,
            decoder_feed_forward=32,
        ),
        training=TrainingConfig(precision="float32"),
        search=SearchConfig(max_text_length=5, beam_size=3),
    )
    model = build_network(recipe, WORDS).eval()
    # Larger weights: an untrained network would say the same whatever it is shown.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return TrainedModel(model, recipe, WORDS, TRAINED_ON)
