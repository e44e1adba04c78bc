"""What the runs of an experiment found: scores, tests between variants, and what models cost."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from reproduction.experiments import Experiment
from reproduction.runs import Run
from slt_fast.checkpoint import TrainedModel, load_model, without_weights
from slt_fast.data.frame_source import with_rate
from slt_fast.data.sources import read_split
from slt_fast.errors import DataError, handle
from slt_fast.files import read_json
from slt_fast.inference.attention import attention_of
from slt_fast.inference.translate import read_source, trained_rate
from slt_fast.metrics.paired import paired_test
from slt_fast.model.encoder import Encoder
from slt_fast.training.diagnosis import locality

SCORES = ("bleu4", "wer", "exact_match")
# A short clip will do: what a frame costs does not depend on how many there are.
_CLIP_FRAMES = 16
_LOOKED_AT = 8  # test clips in which the attention is measured


def collect(experiment: Experiment, runs: Sequence[Run], about: dict[str, Any]) -> dict[str, Any]:
    """Returns what report.json holds.

    Args:
        experiment: The experiment.
        runs: Its runs; those that are not finished are listed as missing.
        about: Settings of the experiment, which come first.

    Raises:
        DataError: A file of a finished run is broken, runs were scored on other clips, or the data
            of an experiment that looks at the attention cannot be read.
    """
    finished = [run for run in runs if run.is_finished()]
    missing = [run.name for run in runs if run not in finished]
    found = {**about, "torch": torch.__version__, "missing": missing, "variants": {}}
    for name, variant in experiment.variants.items():
        own = [run for run in finished if run.variant == name]
        measured = [_of_run(run, _counterpart(run, variant.against, finished)) for run in own]
        if experiment.looks:
            for run, row in zip(own, measured, strict=True):
                row["attention"] = _attention(run)
        published = [figure._asdict() for figure in variant.published]
        (recipe,) = {run.recipe for run in runs if run.variant == name}
        values = {"recipe": recipe, "options": [*variant.options], "against": variant.against}
        values |= {"published": published, "seeds_finished": [run.seed for run in own]}
        if own:
            trained = load_model(own[0].folder)
            values |= {"mean": _means(measured), **_size(trained), **_costs(trained)}
        found["variants"][name] = values | {"runs": measured}
    return found


def _counterpart(run: Run, against: str | None, finished: Iterable[Run]) -> Run | None:
    """Returns the run of the other variant with the same seed; None if there is none."""
    others = (other for other in finished if (other.variant, other.seed) == (against, run.seed))
    return next(others, None)


def _of_run(run: Run, other: Run | None) -> dict[str, Any]:
    metrics = read_json(run.folder / "metrics.json")
    command = read_json(run.folder / "command.json")
    (split,) = (key.removesuffix(".num_clips") for key in metrics if key.endswith(".num_clips"))
    scores = {
        f"{name}{end}": metrics[f"{split}.{name}{end}"]
        for name in SCORES
        for end in ("", "_low", "_high")
        if f"{split}.{name}{end}" in metrics  # clips may have no glosses
    }
    about = {"seed": run.seed, "split": split, "num_clips": metrics[f"{split}.num_clips"]}
    about |= {"signature": metrics[f"{split}.signature"], **_steps(run)}
    about |= {"most_common_share": metrics[f"{split}.most_common_share"]}
    about |= {name: command[name] for name in ("threads", "device", "command")}
    return about | scores | ({"test": _tested(run, other)} if other else {})


def _attention(run: Run) -> dict[str, float] | None:
    """Measures the attention in the first test clips; None if the network has none."""
    trained = load_model(run.folder)
    if not trained.recipe.model.attention:
        return None
    of, rate = trained.trained_on.located(), trained_rate(trained)
    on_error = (lambda _: None) if of.skip_bad else None
    attentions = []
    for clip in read_split(of.data, of.test_split, on_error=on_error)[:_LOOKED_AT]:
        try:
            read = read_source(trained, with_rate(clip.source, rate))
        except DataError as error:
            handle(error, on_error)
        else:
            attentions.append(attention_of(trained, read, []))
    return locality(attentions).figures if attentions else None


def _steps(run: Run) -> dict[str, Any]:
    """Returns the number of steps, and the seconds of one: the median of the epochs.

    The seconds are None if no epoch was trained without a stop.
    """
    lines = (run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    epochs = [json.loads(line) for line in lines]
    paces = [epoch["seconds_a_step"] for epoch in epochs if "seconds_a_step" in epoch]
    return {"steps": epochs[-1]["step"], "seconds_a_step": median(paces) if paces else None}


def _tested(run: Run, other: Run) -> dict[str, Any]:
    """Tests whether two runs differ by more than chance on the same clips."""
    ours, theirs = _translations(run), _translations(other)
    for name in ("id", "reference"):
        if [row[name] for row in ours] != [row[name] for row in theirs]:
            expected = f"those of {other.translations}, to compare them"
            raise DataError(run.translations, f"other clips ({name})", expected)
    said, others = ([row["hypothesis"] for row in rows] for rows in (ours, theirs))
    found = paired_test(said, others, [row["reference"] for row in ours])
    return {"against": other.variant, **{name: each._asdict() for name, each in found.items()}}


def _translations(run: Run) -> list[dict[str, str]]:
    return [json.loads(line) for line in run.translations.read_text("utf-8").splitlines()]


def _means(measured: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Returns the mean over the seeds of each score, and of BLEU-4 also the ends of their range.

    The difference of BLEU-4 to the other variant has them too, over the seeds that both have.
    """
    values = {name: [row.get(name) for row in measured] for name in (*SCORES, "seconds_a_step")}
    means = {name: fmean(each) for name, each in values.items() if None not in each}
    tests = [row["test"]["bleu4"] for row in measured if "test" in row]
    ranges = {"bleu4": [row["bleu4"] for row in measured]}
    ranges |= {"difference": [test["first"] - test["second"] for test in tests]} if tests else {}
    for name, each in ranges.items():
        means |= {name: fmean(each), f"{name}_lowest": min(each), f"{name}_highest": max(each)}
    return means


def _size(trained: TrainedModel) -> dict[str, int | None]:
    """Returns how much was trained on; None means all clips of the training split."""
    epochs = trained.recipe.training.epochs
    return {"epochs": epochs, "train_clips": trained.trained_on.train_clips}


def _costs(trained: TrainedModel) -> dict[str, int]:
    """Counts parameters, and the operations of the encoder on a clip, forward and in float32.

    The operations are left out if glosses are the input.
    """
    parameters = {"parameters": sum(p.numel() for p in trained.network.parameters())}
    recipe = without_weights(trained.recipe)
    if not recipe.input.has_images:
        return parameters
    # The fused operators are invisible to the counter; the reference computes the same.
    config = replace(recipe.model, backend="reference")
    encoder = Encoder(config, len(trained.vocabularies.gloss)).eval()
    T, size = _CLIP_FRAMES, recipe.input.image_size
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder(torch.zeros(T, 3, size, size), torch.tensor([T]))
    flops = {"image_size": size, "clip_frames": T, "flops_of_clip": counter.get_total_flops()}
    return {**parameters, **flops}
