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
_RESEARCH = (
    "It is research, not an interpreter: do not rely on it where understanding matters. A sentence "
    "comes out of any video, also of one without a signer."
)
# Keys of metrics.json: how the card calls them, and how the Hub does.
_SCORES = {
    "bleu4": ("BLEU-4", "bleu"),
    "chrf": ("chrF", "chrf"),
    "rouge_l": ("ROUGE-L", "rouge"),
    "exact_match": ("exact match, %", "exact_match"),
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
        UserError: There are no scores of the test split.
    """
    split = trained.trained_on.test_split
    own = {key.removeprefix(f"{split}."): value for key, value in (scores or {}).items()}
    shown = [key for key in _SCORES if f"{split}.{key}" in (scores or {})]
    if scores is not None and not shown:
        raise UserError(f"scores: found {', '.join(scores) or 'none'}; expected {split}.bleu4, ...")
    parts = [
        _head(trained.trained_on, name, {key: own[key] for key in shown}, license),
        f"# {name}",
        _description(trained, dtype),
        f"## Limits\n\n{_knows(trained.trained_on)} {_RESEARCH}",
    ]
    if shown:
        parts.append(f"## Scores\n\n{_score_table(split, own, shown)}")
        parts += [f"sacrebleu's signature of BLEU-4: `{own['signature']}`."]
    parts += [note] if note else []
    parts.append(f"## Use\n\n{_use(trained, name)}")
    return "\n\n".join(parts) + "\n"


def _head(trained_on: TrainedOn, name: str, values: Mapping[str, float], license: str) -> str:
    lines = ["library_name: slt_fast", "tags: [sign-language-translation]"]
    lines += [f"license: {json.dumps(license)}"] if license else []
    if values:
        metrics = [
            {"type": _SCORES[key][1], "name": _SCORES[key][0], "value": value}
            for key, value in values.items()
        ]
        dataset = {"name": trained_on.data, "type": trained_on.data, "split": trained_on.test_split}
        result = {"task": {"type": "translation"}, "dataset": dataset, "metrics": metrics}
        # JSON is YAML.
        index = json.dumps([{"name": name, "results": [result]}], ensure_ascii=False)
        lines.append(f"model-index: {index}")
    return "\n".join(["---", *lines, "---"])


def _description(trained: TrainedModel, dtype: str) -> str:
    of, words = trained.trained_on, trained.vocabularies
    number = sum(weight.numel() for weight in trained.network.parameters())
    seen = f"{of.train_clips} clips of the" if of.train_clips else "the"
    takes = "video" if trained.recipe.input.has_images else "glosses"
    recipe = trained.recipe
    return "\n".join(
        [
            f"Translates sign language to text: {takes} go in, a sentence comes out. Made by "
            "slt_fast, after Ruiz and Martinez,",
            "[arXiv 2502.02587](https://arxiv.org/abs/2502.02587).",
            "",
            f"- training data: {seen} split `{of.train_split}` of `{of.data}`; the split "
            f"`{of.dev_split}` chose the checkpoint",
            f"- input: {recipe.input.input}, {recipe.input.image_size}x{recipe.input.image_size} "
            f"pixels, {of.fps} frames a second",
            f"- vocabulary: {len(words.text.words)} text units, {len(words.gloss.words)} glosses",
            f"- training: {recipe.training.epochs} epochs, seed {recipe.training.seed}",
            f"- weights: {number / 1e6:.1f} million in {dtype}, precision of the computation: "
            f"{recipe.training.precision}",
        ]
    )


def _knows(trained_on: TrainedOn) -> str:
    is_drawn = trained_on.data.partition(":")[0] in _DRAWN
    return DRAWN_SIGNER_ONLY if is_drawn else _TRAINING_DATA_ONLY


def _score_table(split: str, values: Mapping[str, Any], shown: list[str]) -> str:
    rows = [
        f"| split `{split}`: {values['num_clips']} clips | score | 95 % interval |",
        "| --- | --- | --- |",
    ]
    for key in shown:
        low, high = values.get(f"{key}_low"), values.get(f"{key}_high")
        interval = "" if low is None else f"{low:.1f} to {high:.1f}"
        rows.append(f"| {_SCORES[key][0]} | {values[key]:.1f} | {interval} |")
    return "\n".join(rows)


def _use(trained: TrainedModel, name: str) -> str:
    call = 'translator("clip.mp4").text'
    if not trained.recipe.input.has_images:
        call = 'translator.translate_glosses("MORGEN REGEN").text'
    return "\n".join(
        [
            "```python",
            "from slt_fast import Translator",
            "",
            f'translator = Translator.from_pretrained("{name}")  # its folder, or USER/{name}',
            f"print({call})",
            "```",
        ]
    )
