from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slt_fast.checkpoint import (
    TrainedModel,
    TrainedOn,
    build_network,
    checkpoint_folder,
    save_checkpoint,
)
from slt_fast.data.batching import Vocabularies
from slt_fast.data.vocabulary import GLOSS_SPECIALS, TEXT_SPECIALS, Vocabulary
from slt_fast.errors import DataError
from slt_fast.training.checks import check_recipe
from slt_fast.training.run import RunConfig
from slt_fast.training.starting import start_from

TRAINED_ON = TrainedOn("synthetic", "train", "dev", "test", "0" * 64, False)


def model(recipe, words: str, glosses: str) -> TrainedModel:
    vocabularies = Vocabularies(
        Vocabulary(TEXT_SPECIALS, tuple(words.split())),
        Vocabulary(GLOSS_SPECIALS, tuple(glosses.split())),
    )
    return TrainedModel(build_network(recipe, vocabularies), recipe, vocabularies, TRAINED_ON)


def test_words_are_taken_by_their_spelling(tiny_recipe, tmp_path: Path) -> None:
    first = model(tiny_recipe, "hund katze schläft", "HUND")
    save_checkpoint(tmp_path, 1, ("best", "last"), first, tensors={}, progress={})
    second = model(tiny_recipe, "katze vogel hund", "VOGEL HUND")
    before = second.network.decoder.embedding.weight.detach().clone()
    said = start_from(second.network, second.vocabularies, tmp_path)
    theirs, ours = (part.network.state_dict() for part in (first, second))
    for name in ("decoder.embedding.weight", "decoder.output.weight", "decoder.output.bias"):
        assert torch.equal(ours[name][[0, 1, 2, 3, 4, 6]], theirs[name][[0, 1, 2, 3, 5, 4]])
    assert torch.equal(ours["decoder.embedding.weight"][5], before[5])  # "vogel" is new
    for name in ("encoder.gloss_head.weight", "encoder.gloss_head.bias"):
        assert torch.equal(ours[name][[0, 1, 3]], theirs[name][[0, 1, 2]])
    same = [name for name in ours if name not in ("decoder", "gloss_head")]
    assert all(
        torch.equal(ours[name], theirs[name])
        for name in same
        if ours[name].shape == theirs[name].shape
        and "embedding" not in name
        and "output" not in name
        and "gloss_head" not in name
    )
    assert f"took {len(ours)} of {len(ours)} tensors, with 6 of 7 words and 3 of 4" in said


def test_a_model_of_another_width_gives_what_fits(tiny_recipe, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, ("best",), model(tiny_recipe, "a", "A"), tensors={}, progress={})
    wider = replace(tiny_recipe, model=replace(tiny_recipe.model, width=64))
    started = model(wider, "a", "A")
    assert ": took " in start_from(started.network, started.vocabularies, tmp_path)


def test_no_checkpoint(tiny_recipe, tmp_path: Path) -> None:
    empty = model(tiny_recipe, "a", "A")
    with pytest.raises(DataError, match="found nothing; expected a checkpoint's folder"):
        start_from(empty.network, empty.vocabularies, tmp_path / "gone")


def test_a_broken_start_is_refused_before_clips_are_read(tiny_recipe, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, ("best",), model(tiny_recipe, "a", "A"), tensors={}, progress={})
    (checkpoint_folder(tmp_path) / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="expected a whole safetensors file"):
        check_recipe(tiny_recipe, RunConfig(init_from=tmp_path))
