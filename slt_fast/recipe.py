"""Recipes: every setting of a run, checked, and saved whole in each checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from slt_fast.data.augmentation import AugmentationConfig
from slt_fast.data.input import InputConfig
from slt_fast.data.text import TextConfig
from slt_fast.errors import UserError
from slt_fast.model.config import ModelConfig
from slt_fast.settings import Bounds, check_settings

_Count = Annotated[int, Bounds(ge=1)]
# Limits that no honest setting reaches: 1024 clips of 4 s are 60 GB at 224 pixels, one process per
# core is enough, past 10 beams searches hardly gain, and 4096 characters are a page.
_BatchSize = Annotated[int, Bounds(ge=1), Bounds(le=1024)]
_Frames = Annotated[int, Bounds(ge=0), Bounds(le=10**6)]
_NumWorkers = Annotated[int, Bounds(ge=0), Bounds(le=256)]
_BeamSize = Annotated[int, Bounds(ge=1), Bounds(le=100)]
_TextLength = Annotated[int, Bounds(ge=1), Bounds(le=4096)]
_Share = Annotated[float, Bounds(ge=0, lt=1)]
_Weight = Annotated[float, Bounds(ge=0)]
_Positive = Annotated[float, Bounds(gt=0)]


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained."""

    epochs: _Count = 10
    """Passes over the training split."""
    batch_size: _BatchSize = 1
    """Clips per step, in training (unless frames_per_step is set) and in scoring."""
    frames_per_step: _Frames = 0
    """Frames per training step, in clips of like length; 0 takes batch_size clips. A longer clip is
    a step of its own."""
    frames_at_once: _Frames = 0
    """Frames that are computed at once: larger steps add up the gradients of their parts, which
    batch norm sees one by one. 0 computes steps whole."""
    frames_per_chunk: _Frames = 0
    """Frames whose activations are in memory at a time: the backbone computes them in chunks, which
    batch norm sees one by one, and all but the last again for the backward pass. 0 keeps all."""
    gradient_dropout: _Share = 0.0
    """Share of the frames of each step, chosen at random, in which the gradient does not reach the
    backbone: saves time and memory. Batch norm sees them by themselves."""
    batch_norm: Literal["batch", "frozen"] = "batch"
    """batch: by the frames that are computed together; frozen: by the statistics at the start, as
    for a backbone that is trained already."""
    learning_rate: _Positive = 1e-4
    """Highest learning rate of Adam."""
    schedule: Literal["constant", "cosine"] = "constant"
    """constant, or cosine: a linear warm-up over the first tenth, then a cosine down to 0."""
    weight_decay: _Weight = 0.0
    """Decoupled weight decay (AdamW)."""
    gradient_clip: _Positive = 1.0
    """Largest norm of the whole gradient (assumed)."""
    bad_steps: _Count = 10
    """Steps in a row with a gradient that is not finite, after which training ends; each is left
    out."""
    ctc_weight: _Weight = 1.0
    """Weight of the CTC loss on glosses; clips without glosses have none."""
    text_weight: _Weight = 1.0
    """Weight of the cross-entropy on the text."""
    label_smoothing: _Share = 0.0
    """Label smoothing of the cross-entropy."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """bfloat16 means autocast; auto takes it if the hardware computes in it."""
    compile: bool = False
    """Compile the backbone and the feed-forward by torch.compile, for a minute at the start."""
    device: str = "auto"
    """auto takes the GPU if there is one."""
    preload: bool = False
    """Keep the images of all clips in memory; otherwise they are recomputed every epoch."""
    num_workers: _NumWorkers = 2
    """Processes that load clips."""
    seed: Annotated[int, Bounds(ge=0)] = 0
    """Seed of weights, order, dropout and augmentation."""
    evaluate_every: _Count = 1
    """Epochs between two scorings of the dev split."""
    best_by: Literal[
        "auto",
        "bleu1",
        "bleu2",
        "bleu3",
        "bleu4",
        "rouge_l",
        "chrf",
        "exact_match",
        "wer",
        "text",
        "ctc",
    ] = "auto"
    """Score of the dev split, or its loss on the text or the glosses, that chooses the best
    checkpoint; auto takes BLEU-4, or exact matches if all texts are shorter than four tokens."""
    patience: Annotated[int, Bounds(ge=0)] = 0
    """Scorings of the dev split in a row without a better score, after which training ends; 0 goes
    on for all epochs."""
    checkpoint_minutes: _Positive = 10.0
    """Minutes after which a checkpoint is also written within an epoch."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class SearchConfig:
    """How sentences and glosses are searched for."""

    beam_size: _BeamSize = 4
    """Beams; 1 is greedy, as dev is scored during training."""
    length_penalty: Annotated[float, Bounds(ge=-5), Bounds(le=30)] = 1.0
    """Sentences are ranked by log probability / ((5 + length) / 6) ** length_penalty."""
    max_text_length: _TextLength = 60
    """Longest translation in tokens."""
    gloss_beam_size: _BeamSize = 1
    """Beams of the search for glosses; 1 takes the best path, as dev is scored during training."""

    def __post_init__(self) -> None:
        check_settings(self)

    def greedy(self) -> SearchConfig:
        """Returns the same search with one beam, and with the best path for the glosses."""
        return replace(self, beam_size=1, gloss_beam_size=1)

    def with_options(self, **options: Any) -> SearchConfig:
        """Returns the same search with other settings; those that are None stay as they are."""
        return replace(self, **{name: one for name, one in options.items() if one is not None})


# Settings that have no meaning if glosses are the input: there are no images, and no cameras.
_OF_IMAGES = {
    "augmentation": ("zoom", "shift", "vigour", "frame_dropout", "other_rates"),
    "training": ("frames_per_chunk", "gradient_dropout", "compile"),
}


@dataclass(frozen=True)
class Recipe:
    """Every setting of a run: what the network sees and is, how it learns and searches.

    Raises:
        UserError: A setting has no meaning with the input.
    """

    input: InputConfig = field(default_factory=InputConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    text: TextConfig = field(default_factory=TextConfig)

    def __post_init__(self) -> None:
        if self.input.has_images:
            if share := self.augmentation.gloss_dropout:
                expected = f"expected 0 with input {self.input.input!r}"
                raise UserError(f"gloss_dropout: found {share}; {expected}")
            return
        for part, names in _OF_IMAGES.items():
            for name in names:
                if value := getattr(getattr(self, part), name):
                    expected = "expected none with input 'gloss', which has no images"
                    raise UserError(f"{name}: found {value}; {expected}")
        if (name := self.training.best_by) in ("wer", "ctc"):
            expected = "expected a score of the text with input 'gloss'"
            raise UserError(f"best_by: found {name!r}; {expected}")


RECIPES: dict[str, Recipe] = {
    # What the paper states, with the assumptions that each field's documentation marks.
    "paper": Recipe(),
    # The best known settings for a GPU; not confirmed on one yet.
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
        input=InputConfig(image_size=40, flow_bound=2.9),
        augmentation=AugmentationConfig(zoom=0.16, shift=0.06, vigour=0.22, frame_dropout=0.06),
        model=ModelConfig(
            backbone_stages=2,
            backbone_weights="none",
            gamma_start=0.5,
            feed_forward="depthwise",
            memory_map_size=(5, 5),
            temporal_convolution=9,
            width=256,
            decoder_layers=2,
            decoder_feed_forward=512,
        ),
        training=TrainingConfig(
            epochs=8,
            batch_size=4,
            gradient_dropout=0.5,
            learning_rate=1e-3,
            schedule="cosine",
            weight_decay=0.01,
            label_smoothing=0.1,
            preload=True,
            evaluate_every=4,
        ),
        search=SearchConfig(max_text_length=24, gloss_beam_size=8),
    ),
    # Glosses to text, as PHOENIX-2014-T's annotations have them; minutes on two CPU cores.
    "gloss-to-text": Recipe(
        input=InputConfig(input="gloss"),
        augmentation=AugmentationConfig(gloss_dropout=0.05),
        model=ModelConfig(
            backbone_weights="none",
            width=256,
            decoder_heads=8,
            decoder_feed_forward=1024,
            dropout=0.3,
        ),
        training=TrainingConfig(
            epochs=20,
            batch_size=64,
            frames_per_step=256,
            learning_rate=7e-4,
            schedule="cosine",
            weight_decay=0.01,
            label_smoothing=0.1,
            evaluate_every=4,
        ),
        search=SearchConfig(beam_size=10, length_penalty=2.0),
    ),
}

# Settings that change where and how fast a run computes, but not what.
MACHINE_SETTINGS = frozenset({"device", "num_workers", "preload", "checkpoint_minutes"})


def recipe_from_json(values: object) -> Recipe:
    """Returns the recipe of the nested plain values that `asdict` gave.

    Raises:
        UserError: A key is unknown or missing, or a config refuses its value.
    """
    parts = {"input": InputConfig, "augmentation": AugmentationConfig}
    parts |= {"model": ModelConfig, "training": TrainingConfig, "search": SearchConfig}
    parts |= {"text": TextConfig}
    known = _checked("recipe", values, set(parts))
    return Recipe(**{name: _from_json(name, kind, known[name]) for name, kind in parts.items()})


def upgraded_from_0_1(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the plain values of a recipe with those of version 0.1 in their new places.

    Version 0.1 kept the search among the training settings and knew one backbone by name. Settings
    that are newer than a recipe have the value that changes nothing.
    """
    values = {"text": {}, **values}  # earlier ones knew only words
    if isinstance(text := values["text"], dict):  # or it is refused later
        values["text"] = {**asdict(TextConfig()), **text}
    if isinstance(augmentation := values.get("augmentation"), dict):
        values["augmentation"] = {"other_rates": 0.0, "gloss_dropout": 0.0, **augmentation}
    if isinstance(model := values.get("model"), dict):
        newer = {"backbone": "resnet18", "encoder_layers": ModelConfig.encoder_layers}
        values["model"] = {**newer, "attention": True, **model}
    if isinstance(training := values.get("training"), dict):
        newer = {"frames_per_step": 0, "frames_at_once": 0, "frames_per_chunk": 0, "patience": 0}
        kept = {"batch_norm": "batch", "bad_steps": 10, "best_by": "auto", "compile": False}
        values["training"] = {**newer, **kept, "gradient_dropout": 0.0, **training}
    if "search" in values:
        if isinstance(search := values["search"], dict):
            values["search"] = {"gloss_beam_size": 1, **search}
        return values
    training = dict(values["training"])
    search = {name: training.pop(name) for name in ("beam_size", "max_text_length")}
    search |= {"length_penalty": 1.0, "gloss_beam_size": 1}
    if (backbone := dict(values["model"])["backbone"]) != "resnet18":
        raise UserError(f"backbone: found {backbone!r}; expected 'resnet18'")
    return {**values, "training": training, "search": search}


def differences(first: Recipe, second: Recipe) -> dict[str, tuple[Any, Any]]:
    """Returns both values of each setting that differs, by name, except MACHINE_SETTINGS."""
    others = asdict(second)
    return {
        f"{part}.{name}": (value, others[part][name])
        for part, values in asdict(first).items()
        for name, value in values.items()
        if value != others[part][name] and name not in MACHINE_SETTINGS
    }


def _from_json(name: str, kind: type, values: object) -> Any:
    known = _checked(name, values, {entry.name for entry in fields(kind)})
    # JSON knows no tuples.
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in known.items()})


def _checked(name: str, values: object, expected: set[str]) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise UserError(f"{name}: found {type(values).__name__}; expected a JSON object")
    unknown, missing = sorted(values.keys() - expected), sorted(expected - values.keys())
    if unknown or missing:
        raise UserError(f"{name}: found unknown {unknown}, missing {missing}; expected all keys")
    return values
