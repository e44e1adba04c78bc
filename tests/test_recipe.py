import json
import math
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest

from slt_fast.errors import UserError
from slt_fast.recipe import (
    RECIPES,
    Recipe,
    SearchConfig,
    TrainingConfig,
    recipe_from_json,
)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_json(name: str) -> None:
    values = json.loads(json.dumps(asdict(RECIPES[name])))
    assert recipe_from_json(values) == RECIPES[name]
    assert hash(recipe_from_json(values)) == hash(RECIPES[name])


def test_each_setting_survives_json() -> None:
    recipe = replace(Recipe(), training=TrainingConfig(epochs=3, learning_rate=0.1, seed=8))
    recipe = replace(recipe, model=replace(recipe.model, memory_map_size=(3, 5), key_channels=8))
    values = json.loads(json.dumps(asdict(recipe)))
    assert recipe_from_json(values) == recipe != Recipe()


def test_recipes_are_frozen() -> None:
    recipe = RECIPES["quickstart"]
    for part in (recipe, *(getattr(recipe, field.name) for field in fields(Recipe))):
        with pytest.raises(FrozenInstanceError):
            setattr(part, fields(part)[0].name, None)


def test_recipes_are_what_they_promise() -> None:
    assert RECIPES["paper"] == Recipe()
    assert RECIPES["quickstart"].model.backbone_weights == "none"  # nothing to download
    assert set(RECIPES) == {"paper", "fast", "quickstart", "gloss-to-text"}


@pytest.mark.parametrize("part", [None, "input", "augmentation", "model", "training", "search"])
def test_unknown_and_missing_keys(part: str | None) -> None:
    values = asdict(Recipe())
    inner = values if part is None else values[part]
    removed = next(iter(inner))
    del inner[removed]
    inner["flavour"] = "vanilla"
    message = rf"^{part or 'recipe'}: found unknown \['flavour'\], missing \['{removed}'\]"
    with pytest.raises(ValueError, match=message):
        recipe_from_json(values)


@pytest.mark.parametrize(("values", "found"), [([], "list"), (None, "NoneType"), ("x", "str")])
def test_other_json(values: object, found: str) -> None:
    with pytest.raises(ValueError, match=f"recipe: found {found}; expected a JSON object"):
        recipe_from_json(values)
    with pytest.raises(ValueError, match=f"model: found {found}; expected a JSON object"):
        recipe_from_json({**asdict(Recipe()), "model": values})


def test_value_that_its_config_refuses() -> None:
    values = asdict(Recipe())
    values["training"]["epochs"] = 0
    with pytest.raises(ValueError, match="epochs: found 0; expected at least 1"):
        recipe_from_json(values)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", 0, "at least 1"),
        ("batch_size", 0, "at least 1"),
        ("batch_size", 1025, "batch_size <= 1024"),
        ("evaluate_every", -1, "at least 1"),
        ("learning_rate", 0.0, "more than 0"),
        ("learning_rate", float("nan"), "more than 0"),
        ("gradient_clip", -1.0, "more than 0"),
        ("checkpoint_minutes", 0.0, "more than 0"),
        ("weight_decay", -0.1, "0 or more"),
        ("ctc_weight", -1.0, "0 or more"),
        ("text_weight", float("nan"), "0 or more"),
        ("label_smoothing", -0.1, "0 <= label_smoothing < 1"),
        ("label_smoothing", 1.0, "0 <= label_smoothing < 1"),
        ("weight_decay", math.inf, "0 or more"),
        ("num_workers", -1, "0 or more"),
        ("num_workers", 257, "num_workers <= 256"),
        ("seed", -1, "0 or more"),
        ("schedule", "linear", r"\('constant', 'cosine'\)"),
        ("precision", "float16", r"\('auto', 'float32', 'bfloat16'\)"),
    ],
)
def test_bad_settings(name: str, value: object, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: found {value!r}; expected {expected}"):
        TrainingConfig(**{name: value})


def test_training_scores_dev_without_beams() -> None:
    search = SearchConfig(8, 0.5, 30, 10)
    assert search.greedy() == SearchConfig(1, 0.5, 30, 1)


def test_options_that_are_not_given_leave_the_search_as_it_is() -> None:
    search = SearchConfig(8, 0.5, 30, 10)
    assert search.with_options(beam_size=None, length_penalty=None) == search
    assert search.with_options(beam_size=2, length_penalty=0.0) == SearchConfig(2, 0.0, 30, 10)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("beam_size", 0, "at least 1"),
        ("beam_size", 2**62, "beam_size <= 100"),
        ("gloss_beam_size", 0, "at least 1"),
        ("gloss_beam_size", 101, "gloss_beam_size <= 100"),
        ("max_text_length", 0, "at least 1"),
        ("max_text_length", 2**40, "max_text_length <= 4096"),
        ("length_penalty", -5.5, "at least -5"),
        ("length_penalty", float("nan"), "at least -5"),
    ],
)
def test_bad_search_settings(name: str, value: object, expected: str) -> None:
    with pytest.raises(UserError, match=f"^{name}: found {value!r}; expected {expected}"):
        SearchConfig(**{name: value})


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("augmentation", "zoom", 0.1),
        ("augmentation", "frame_dropout", 0.1),
        ("augmentation", "other_rates", 0.5),
        ("training", "compile", True),
        ("training", "frames_per_chunk", 8),
        ("training", "gradient_dropout", 0.5),
        ("training", "best_by", "wer"),
    ],
)
def test_settings_without_a_meaning_for_glosses(part: str, name: str, value: object) -> None:
    recipe = RECIPES["gloss-to-text"]
    with pytest.raises(UserError, match=rf"^{name}: found '?{value}'?[;,]? .*with input 'gloss'"):
        replace(recipe, **{part: replace(getattr(recipe, part), **{name: value})})


def test_glosses_are_dropped_from_gloss_input_only() -> None:
    augmentation = replace(Recipe().augmentation, gloss_dropout=0.1)
    with pytest.raises(UserError, match="^gloss_dropout: found 0.1; expected 0 with input 'flow'"):
        replace(Recipe(), augmentation=augmentation)
