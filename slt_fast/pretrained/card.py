"""Writes model cards for the Hugging Face Hub (Mitchell et al., "Model cards", FAT* 2019)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from slt_fast.checkpoint import TrainedModel, TrainedOn
from slt_fast.data.sources import SYNTHETIC
from slt_fast.errors import UserError

DRAWN_SIGNER_ONLY = "It knows only a signer drawn by code, and understands no real signing."
_TRAINING_DATA_ONLY = (
    "It knows the language, the words and the kind of video of its training data, nothing else."
)
_DRAWN = (*SYNTHETIC, "phoenix14t-rendered")
_RESEARCH = """\
It is research, not an interpreter: do not rely on it where understanding matters.
A sentence comes out of any video, also of one without a signer."""
# Keys of metrics.json: how the card calls them, and how the Hub does.
_SCORES = {
    "bleu4": ("BLEU-4", "bleu"),
    "chrf": ("chrF", "chrf"),
    "rouge_l": ("ROUGE-L", "rouge"),
    "exact_match": ("exact match", "exact_match"),
    "wer": ("gloss WER", "wer"),
}


def model_card(
    trained: TrainedModel,
    name: str,
    *,
    dtype: str = "float32",
    scores: Mapping[str, Any] | None = None,
    note: str = "",
    license: str = "",
) -> str:
    """Returns the card of a model as Markdown; its head is YAML, as the Hub reads it.

    Args:
        trained: The model.
        name: Name of the model.
        dtype: Of the weights in their file.
        scores: Scores of the test split, with the keys of metrics.json; None leaves them out.
        note: A paragraph below the scores; "" means none.
        license: Licence of the weights, as the Hub abbreviates it; "" means none stated.

    Raises:
        UserError: The scores have none of the test split.
    """
    own = {} if scores is None else _own_scores(scores, trained.trained_on.test_split)
    parts = [
        _head(trained.trained_on, name, own, license),
        f"# {name}",
        _description(trained, dtype),
        f"## Limits\n\n{_knows(trained.trained_on)}\n{_RESEARCH}",
    ]
    if own:
        parts.append(f"## Scores\n\n{_score_table(trained.trained_on.test_split, own)}")
        parts.append(f"sacrebleu's signature of BLEU-4: `{own.get('signature', 'unknown')}`.")
    parts += [note] if note else []
    parts.append(f"## Use\n\n{_use(trained, name)}")
    return "\n\n".join(parts) + "\n"


def _own_scores(scores: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Returns the scores of a split by their names without it; raises UserError for no numbers."""
    own = {key.removeprefix(f"{split}."): value for key, value in scores.items()}
    optional = {f"{name}{end}" for name in _SCORES for end in ("", "_low", "_high")} & own.keys()
    for name in ("bleu4", "num_clips", *sorted(optional)):
        if not isinstance(found := scores.get(f"{split}.{name}"), int | float):
            raise UserError(f"scores: found {found!r} for {split}.{name}; expected a number")
    return own


def _head(trained_on: TrainedOn, name: str, scores: Mapping[str, Any], license: str) -> str:
    """Returns the YAML at the top, in which JSON may stand for any value."""
    lines = ["library_name: slt_fast", "tags: [sign-language-translation]"]
    lines += [f"license: {json.dumps(license)}"] if license else []
    if scores:
        data, split = json.dumps(trained_on.data), json.dumps(trained_on.test_split)
        lines += [
            "model-index:",
            f"- name: {json.dumps(name)}",
            "  results:",
            "  - task: {type: translation}",
            f"    dataset: {{name: {data}, type: {data}, split: {split}}}",
            "    metrics:",
        ]
        lines += [
            f"    - {{type: {kind}, name: {label}, value: {scores[key]:.2f}}}"
            for key, (label, kind) in _SCORES.items()
            if key in scores
        ]
    return "\n".join(["---", *lines, "---"])


def _description(trained: TrainedModel, dtype: str) -> str:
    of, recipe, words = trained.trained_on, trained.recipe, trained.vocabularies
    number = sum(weight.numel() for weight in trained.network.parameters())
    seen = f"{of.train_clips} clips of the" if of.train_clips else "the"
    size, rate = recipe.input.image_size, f"{of.fps} frames a second"
    takes, given = "glosses", "glosses"
    if recipe.input.has_images:
        takes, given = "sign-language video", f"{recipe.input.input}, {size}x{size} pixels, {rate}"
    return f"""\
Translates {takes} to text. Made by slt_fast, after Ruiz and Martinez,
[arXiv 2502.02587](https://arxiv.org/abs/2502.02587).

- training data: {seen} split `{of.train_split}` of `{of.data}`
- chosen on: the split `{of.dev_split}`
- input: {given}
- vocabulary: {len(words.text.words)} text units, {len(words.gloss.words)} glosses
- training: {recipe.training.epochs} epochs, seed {recipe.training.seed}
- weights: {number / 1e6:.1f} million in {dtype}
- precision of the computation: {recipe.training.precision}"""


def _knows(trained_on: TrainedOn) -> str:
    is_drawn = trained_on.data.partition(":")[0] in _DRAWN
    return DRAWN_SIGNER_ONLY if is_drawn else _TRAINING_DATA_ONLY


def _score_table(split: str, scores: Mapping[str, Any]) -> str:
    rows = [
        f"| split `{split}`: {scores['num_clips']} clips | score, % | 95 % interval |",
        "| --- | --- | --- |",
    ]
    for key, (label, _) in _SCORES.items():
        low, high = scores.get(f"{key}_low"), scores.get(f"{key}_high")
        interval = "" if low is None else f"{low:.1f} to {high:.1f}"
        if key in scores:
            rows.append(f"| {label} | {scores[key]:.1f} | {interval} |")
    return "\n".join(rows)


def _use(trained: TrainedModel, name: str) -> str:
    call = 'translator("clip.mp4").text'
    if not trained.recipe.input.has_images:
        call = 'translator.translate_glosses("MORGEN REGEN").text'
    return f"""\
```python
from slt_fast import Translator

translator = Translator.from_pretrained({json.dumps(name)})  # this folder, or its name on the Hub
print({call})
```"""
