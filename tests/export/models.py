"""Small models, untrained, that differ in what a graph is made of."""

from dataclasses import replace

import torch

from slt_fast.checkpoint import TrainedModel, TrainedOn, build_network
from slt_fast.data.batching import Vocabularies
from slt_fast.data.input import InputConfig
from slt_fast.data.vocabulary import GLOSS_SPECIALS, TEXT_SPECIALS, Vocabulary
from slt_fast.model.config import ModelConfig
from slt_fast.recipe import Recipe, SearchConfig, TrainingConfig

_TRAINED_ON = TrainedOn("synthetic", "train", "dev", "test", "0" * 64, False)
_WORDS = Vocabulary(TEXT_SPECIALS, ("ein", "hund", "schläft", "nicht"))
_GLOSSES = Vocabulary(GLOSS_SPECIALS, ("HUND", "SCHLAF"))
_NO_GLOSSES = Vocabulary(GLOSS_SPECIALS, ())
_SMALL = ModelConfig(
    backbone_stages=1,
    backbone_weights="none",
    memory_map_size=(2, 2),
    width=32,
    decoder_layers=2,
    decoder_feed_forward=32,
)
# All settings that change the graph, in few models, as each takes seconds.
MODELS = {
    "paper": {},
    "heads": {"attention_heads": 2, "memory_map_size": (3, 5), "temporal_convolution": 3},
    "pixel": {"memory": "pixel", "attention_heads": 4, "feed_forward": "depthwise"},
    "r3d_18": {
        "backbone": "r3d_18",
        "attention": False,
        "norm_placement": "pre",
        "decoder_norm_placement": "post",
        "memory_norm": False,
    },
    "plain": {"attention": False, "positional_encoding": False},
}


def trained_model(name: str, *, search: SearchConfig | None = None) -> TrainedModel:
    """Returns a model of MODELS; "pixel" sees RGB images and knows no glosses."""
    is_pixel = name == "pixel"
    recipe = Recipe(
        input=InputConfig(input="rgb" if is_pixel else "flow", image_size=32),
        model=replace(_SMALL, **MODELS[name]),
        training=TrainingConfig(precision="float32"),
        search=search or SearchConfig(max_text_length=7, beam_size=1 if name == "plain" else 3),
    )
    words = Vocabularies(_WORDS, _NO_GLOSSES if is_pixel else _GLOSSES)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(recipe, words).eval()
    # Larger weights: an untrained network would say the same whatever it is shown.
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    return TrainedModel(network, recipe, words, _TRAINED_ON)
