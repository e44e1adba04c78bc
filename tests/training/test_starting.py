from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slt_fast.checkpoint import (
    TrainedModel,
    TrainedOn,
    build_network,
    checkpoint_folder,
    load_model,
    save_checkpoint,
)
from slt_fast.data.batching import Vocabularies
from slt_fast.data.vocabulary import GLOSS_SPECIALS, TEXT_SPECIALS, Vocabulary
from slt_fast.errors import DataError
from slt_fast.training import loop, starting
from slt_fast.training.loop import train
from slt_fast.training.run import RunConfig
from slt_fast.training.starting import Start, load_start, start_from

TRAINED_ON = TrainedOn("synthetic", "train", "dev", "test", "0" * 64, False)


def model(recipe, words: str, glosses: str) -> TrainedModel:
    vocabularies = Vocabularies(
        Vocabulary(TEXT_SPECIALS, tuple(words.split())),
        Vocabulary(GLOSS_SPECIALS, tuple(glosses.split())),
    )
    return TrainedModel(build_network(recipe, vocabularies), recipe, vocabularies, TRAINED_ON)


def started(checkpoint: Path) -> Start:
    start = load_start(RunConfig(init_from=checkpoint))
    assert start is not None
    return start


def test_words_are_taken_by_their_spelling(tiny_recipe, tmp_path: Path) -> None:
    first = model(tiny_recipe, "hund katze schläft", "HUND")
    save_checkpoint(tmp_path, 1, ("best", "last"), first, tensors={}, progress={})
    second = model(tiny_recipe, "katze vogel hund", "VOGEL HUND")
    before = second.network.decoder.embedding.weight.detach().clone()
    said = start_from(second.network, second.vocabularies, started(tmp_path))
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
    other = model(wider, "a", "A")
    assert ": took " in start_from(other.network, other.vocabularies, started(tmp_path))


def test_no_checkpoint(tmp_path: Path) -> None:
    assert load_start(RunConfig()) is None
    with pytest.raises(DataError, match="found nothing; expected a checkpoint's folder"):
        load_start(RunConfig(init_from=tmp_path / "gone"))


def test_a_broken_start_is_refused_before_clips_are_read(
    tiny_recipe, run, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(loop, "read_splits", lambda *_, **__: pytest.fail("read the clips"))
    save_checkpoint(tmp_path, 1, ("best",), model(tiny_recipe, "a", "A"), tensors={}, progress={})
    (checkpoint_folder(tmp_path) / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="expected a whole safetensors file"):
        train(tiny_recipe, replace(run, init_from=tmp_path))


def test_a_start_is_loaded_once(tiny_recipe, run, tmp_path: Path, monkeypatch, caplog) -> None:
    first = model(tiny_recipe, "mother sleeps", "MOTHER")
    save_checkpoint(tmp_path, 1, ("best",), first, tensors={}, progress={})
    loaded: list[Path] = []

    def load(checkpoint: Path) -> TrainedModel:
        loaded.append(checkpoint)
        return load_model(checkpoint)

    monkeypatch.setattr(starting, "load_model", load)
    recipe = replace(tiny_recipe, training=replace(tiny_recipe.training, epochs=1))
    with caplog.at_level("INFO"):
        train(recipe, replace(run, init_from=tmp_path))
    assert loaded == [tmp_path]
    (line,) = [line for line in caplog.messages if line.startswith(f"{tmp_path}: took ")]
    assert line.endswith("with 6 of 13 words and 3 of 8 glosses")
    # A run that is resumed has the weights already.
    train(tiny_recipe, replace(run, init_from=tmp_path, resume=True))
    assert loaded == [tmp_path]
