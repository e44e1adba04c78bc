"""Training with a backbone that sees whole clips."""

from dataclasses import replace

import pytest
import torch

from slt_fast.checkpoint import load_model
from slt_fast.errors import UserError
from slt_fast.recipe import Recipe
from slt_fast.training import loop
from slt_fast.training.loop import train


def with_clip_backbone(recipe: Recipe, **settings) -> Recipe:
    """The recipe with R3D-18."""
    training = replace(recipe.training, schedule="constant", precision="float32", **settings)
    return replace(recipe, model=replace(recipe.model, backbone="r3d_18"), training=training)


@pytest.mark.slow
def test_a_resumed_training_equals_an_unbroken_one(tiny_recipe, run, tmp_path) -> None:
    """To the bit; with steps in parts, which are whole clips."""
    whole, resumed = run, replace(run, output=tmp_path / "resumed")
    settings = {"batch_size": 3, "frames_at_once": 20}
    metrics, _ = train(with_clip_backbone(tiny_recipe, epochs=2, **settings), whole)
    train(with_clip_backbone(tiny_recipe, epochs=1, **settings), resumed)
    recipe = with_clip_backbone(tiny_recipe, epochs=2, **settings)
    again, _ = train(recipe, replace(resumed, resume=True))
    for name in ("test.text", "test.ctc", "test.bleu4"):
        assert metrics[name] == again[name]
    first, second = (load_model(each.output / "last") for each in (whole, resumed))
    assert first.recipe == recipe
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frames_per_chunk", 8),
        ("gradient_dropout", 0.5),
        ("compile", True),
        ("memory_budget", "2GB"),
    ],
)
def test_what_would_cut_clips_is_refused_before_the_first_is_read(
    tiny_recipe, run, monkeypatch, name: str, value: object
) -> None:
    monkeypatch.setattr(loop, "read_splits", lambda *_, **__: pytest.fail("read a clip"))
    if name == "memory_budget":
        recipe, run = with_clip_backbone(tiny_recipe), replace(run, memory_budget=value)
    else:
        recipe = with_clip_backbone(tiny_recipe, **{name: value})
    expected = "0 \\(--" if name == "gradient_dropout" else "backbone resnet18, as r3d_18"
    message = f"^{name}: found {value!r} with backbone r3d_18; expected {expected}"
    with pytest.raises(UserError, match=message):
        train(recipe, run)
