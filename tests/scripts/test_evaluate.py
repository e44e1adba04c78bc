import json
from pathlib import Path

import pytest

from slt_fast.training.checkpoint import read_json


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, manifest: Path) -> Path:
    """A model that was saved untrained."""
    from slt_fast.data.batching import Vocabularies
    from slt_fast.data.input import InputConfig
    from slt_fast.data.sources import read_split
    from slt_fast.model.config import ModelConfig
    from slt_fast.training.checkpoint import LoadedModel, build_model, save_checkpoint
    from slt_fast.training.config import Recipe, TrainingConfig

    recipe = Recipe(
        input=InputConfig(image_size=32, flow_preset="fast"),
        model=ModelConfig(
            backbone_stages=1,
            backbone_weights="none",
            width=32,
            decoder_layers=1,
            decoder_feed_forward=32,
        ),
        training=TrainingConfig(num_workers=0, max_text_length=8, beam_size=2),
    )
    words = Vocabularies.build(read_split(f"manifest:{manifest}", "train"))
    loaded = LoadedModel(build_model(recipe, words), recipe, words)
    run = tmp_path_factory.mktemp("run")
    save_checkpoint(run, 0, ("last", "best"), loaded, tensors={}, progress={})
    return run
