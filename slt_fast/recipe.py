"""Recipes: every setting of a training run, checked, and saved whole in each checkpoint."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from slt_fast.data.augmentation import AugmentationConfig
from slt_fast.data.input import InputConfig
from slt_fast.errors import UserError
from slt_fast.model.config import ModelConfig


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained and scored."""

    epochs: int = 10
    """Passes over the training split."""
    batch_size: int = 1
    """Clips a step, in training and in scoring."""
    learning_rate: float = 1e-4
    """Highest learning rate of Adam."""
    schedule: Literal["constant", "cosine"] = "constant"
    """constant, or a linear warm-up over the first tenth and a cosine down to 0."""
    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW)."""
    gradient_clip: float = 1.0
    """Largest norm of the whole gradient (assumed)."""
    ctc_weight: float = 1.0
    """Weight of the CTC loss on glosses; clips without glosses have none."""
    text_weight: float = 1.0
    """Weight of the cross-entropy on the text."""
    label_smoothing: float = 0.0
    """Label smoothing of the cross-entropy."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """bfloat16 is autocast; auto takes it where the hardware computes in it."""
    device: str = "auto"
    """auto takes the GPU if there is one."""
    preload: bool = False
    """Keep the images of all clips in memory; else they are computed anew in each epoch."""
    num_workers: int = 2
    """Processes that load clips."""
    seed: int = 0
    """Seed of weights, order, dropout and augmentation."""
    evaluate_every: int = 1
    """Epochs from one scoring of the dev split to the next."""
    checkpoint_minutes: float = 10.0
    """Minutes after which a checkpoint is written within an epoch, too."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "evaluate_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: found {getattr(self, name)}; expected at least 1")
        for name in ("learning_rate", "gradient_clip", "checkpoint_minutes"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name}: found {getattr(self, name)}; expected more than 0")
        for name in ("weight_decay", "ctc_weight", "text_weight", "num_workers"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name}: found {getattr(self, name)}; expected 0 or more")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing: found {self.label_smoothing}; expected 0 to 1")
        for name, allowed in (
            ("schedule", ("constant", "cosine")),
            ("precision", ("auto", "float32", "bfloat16")),
        ):
            if getattr(self, name) not in allowed:
                raise UserError(f"{name}: found {getattr(self, name)!r}; expected {allowed}")


@dataclass(frozen=True)
class SearchConfig:
    """How sentences are searched for."""

    beam_size: int = 4
    """Beams; 1 is greedy, as is the scoring of dev during training."""
    length_penalty: float = 1.0
    """Sentences are ranked by log probability / length ** length_penalty."""
    max_text_length: int = 60
    """Longest translation in tokens."""

    def __post_init__(self) -> None:
        for name in ("beam_size", "max_text_length"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: found {getattr(self, name)}; expected at least 1")
        if not 0 <= self.length_penalty < math.inf:
            raise UserError(f"length_penalty: found {self.length_penalty}; expected 0 or more")

    def greedy(self) -> SearchConfig:
        """Returns the same search with one beam."""
        return replace(self, beam_size=1)


@dataclass(frozen=True)
class Recipe:
    """Every setting of a run: what the network sees, what it is, how it learns and searches."""

    input: InputConfig = field(default_factory=InputConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    search: SearchConfig = field(default_factory=SearchConfig)


RECIPES: dict[str, Recipe] = {
    # What the paper states, with the assumptions that each field's documentation marks.
    "paper": Recipe(),
    # The best settings known for a GPU; not yet confirmed on one.
    "fast": Recipe(
        augmentation=AugmentationConfig(zoom=0.1, shift=0.06, vigour=0.1, frame_dropout=0.05),
        model=ModelConfig(gamma_start=0.5, temporal_convolution=5),
        training=TrainingConfig(
            epochs=40,
            batch_size=8,
            learning_rate=3e-4,
            schedule="cosine",
            weight_decay=0.01,
            label_smoothing=0.1,
            num_workers=8,
        ),
    ),
    # Small images, from scratch, minutes on two CPU cores.
    "quickstart": Recipe(
        input=InputConfig(image_size=40, flow_preset="fast", flow_bound=2.9),
        augmentation=AugmentationConfig(zoom=0.16, shift=0.06, vigour=0.22, frame_dropout=0.06),
        model=ModelConfig(
            backbone_stages=2,
            backbone_weights="none",
            gamma_start=0.5,
            memory_map_size=(5, 5),
            temporal_convolution=5,
            width=256,
            decoder_layers=2,
            decoder_feed_forward=512,
        ),
        training=TrainingConfig(
            epochs=5,
            batch_size=4,
            learning_rate=1e-3,
            schedule="cosine",
            weight_decay=0.01,
            label_smoothing=0.1,
            preload=True,
        ),
        search=SearchConfig(max_text_length=24),
    ),
}


MACHINE_SETTINGS = frozenset({"device", "num_workers", "preload", "checkpoint_minutes"})


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """A recipe as nested plain values."""
    return asdict(recipe)


def recipe_from_json(values: object) -> Recipe:
    """The recipe that `recipe_to_json` wrote.

    Raises:
        ValueError: An unknown or missing key, or a value that its config refuses.
    """
    parts = {"input": InputConfig, "augmentation": AugmentationConfig}
    parts |= {"model": ModelConfig, "training": TrainingConfig, "search": SearchConfig}
    _check_keys("recipe", values, set(parts))
    return Recipe(**{name: _from_json(name, kind, values[name]) for name, kind in parts.items()})


def upgraded_from_0_1(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the plain values of a recipe, with those of version 0.1 in their new places.

    Version 0.1 kept the search among the training settings and knew one backbone by name.
    """
    if "search" in values:
        return values
    training, model = dict(values["training"]), dict(values["model"])
    search = {name: training.pop(name) for name in ("beam_size", "max_text_length")}
    if model.pop("backbone") != "resnet18":
        raise UserError(f"backbone: found {values['model']['backbone']!r}; expected 'resnet18'")
    return {
        **values,
        "model": model,
        "training": training,
        "search": {"length_penalty": 1.0, **search},
    }


def differences(first: Recipe, second: Recipe) -> dict[str, tuple[Any, Any]]:
    """The settings of a training in which two recipes differ: both values by name.

    Where and how fast it runs (MACHINE_SETTINGS) is none of them.
    """
    others = asdict(second)
    return {
        f"{part}.{name}": (value, others[part][name])
        for part, values in asdict(first).items()
        for name, value in values.items()
        if value != others[part][name] and name not in MACHINE_SETTINGS
    }


def _from_json(name: str, kind: type, values: object) -> Any:
    _check_keys(name, values, {entry.name for entry in fields(kind)})
    # JSON knows no tuples.
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _check_keys(name: str, values: object, expected: set[str]) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{name}: found {type(values).__name__}; expected a JSON object")
    unknown = sorted(set(values) - expected)
    missing = sorted(expected - set(values))
    if unknown or missing:
        raise ValueError(f"{name}: found unknown {unknown}, missing {missing}; expected all keys")
