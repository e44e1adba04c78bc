"""The report of an experiment as Markdown."""

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

_SPREAD = (
    "Means over the seeds; in brackets the lowest and highest seed. Brackets in the table of runs "
    "are 95 % bootstrap intervals over the test clips of one run: they show what other clips would "
    "change, not what another seed would. Most common is the share of the test clips that got the "
    "most common translation: where it is large, a model says little of what it sees. Variants "
    "with other steps had other chances to learn."
)
_TEST = (
    "A difference is the BLEU-4 of a model minus the other variant's with the same seed. p is "
    "the probability of one at least so large if both were equally good (sacrebleu's approximate "
    "randomisation over the same test clips). Each seed is a test of its own, of two models; the "
    "p-values are not joined, and say nothing of other seeds."
)
_ATTENTION = (
    "The 2-D attention of the best checkpoint in the first test clips. It changes the maps by the "
    "length of what it adds over the length of the maps. Far is the share of the attention that "
    "goes further than half of the map's longer side; uniform is that share if it looks everywhere "
    "alike."
)
_COSTS = (
    "FLOPs are of the encoder (backbone, attention, projections), forward, by torch's counter, "
    "which counts two for a multiplication with an addition. Seconds a step are the median over "
    "the epochs of a run, averaged over the seeds, without reading and scoring; runs beside each "
    "other slow each other down."
)


def to_markdown(found: dict[str, Any]) -> str:
    """Returns the text of report.md for what report.json holds."""
    parts = [f"# {found['experiment']}", found["question"], _settings(found)]
    if found["missing"]:
        parts.append(f"**Missing runs: {'; '.join(found['missing'])}.**")
    variants = {name: each for name, each in found["variants"].items() if each["runs"]}
    if variants:
        parts += ["## Scores", _scores(variants), _SPREAD, *_published(found)]
        parts += ["## Runs", _runs(variants)]
        parts += [_TEST] if any("test" in run for _, run in _all_runs(variants)) else []
        if rows := _attention(variants):
            parts += ["## Attention", rows, _ATTENTION]
        parts += ["## Costs", _costs(variants), _COSTS, "## Commands", _commands(variants)]
    return "\n\n".join(parts) + "\n"


def _settings(found: dict[str, Any]) -> str:
    options = shlex.join(found["train_options"]) or "none"
    clips = {(run["split"], run["num_clips"]) for _, run in _all_runs(found["variants"])}
    scored = ", ".join(f"{number} clips of {split}" for split, number in sorted(clips)) or "nothing"
    devices = "".join(sorted({f", {run['device']}" for _, run in _all_runs(found["variants"])}))
    return (
        f"Data `{found['data']}`, {_recipes(found)}, other options: `{options}`, "
        f"seeds: {found['seeds']}, scored on {scored}. torch {found['torch']}, runs at a time: "
        f"{found['jobs']}{devices}."
    )


def _recipes(found: dict[str, Any]) -> str:
    recipes = {name: each["recipe"] for name, each in found["variants"].items()}
    if len(shared := set(recipes.values())) == 1:
        return f"recipe `{shared.pop()}`"
    return "recipes " + ", ".join(f"`{recipe}` ({name})" for name, recipe in recipes.items())


def _scores(variants: dict[str, Any]) -> str:
    rows = []
    for name, each in variants.items():
        mean = each["mean"]
        bleu, difference = _with_range(mean, "bleu4", ""), ""
        if "difference" in mean:
            difference = f"{_with_range(mean, 'difference', '+')} against {each['against']}"
        size = ["all" if each["train_clips"] is None else each["train_clips"], each["epochs"]]
        steps = ", ".join(map(str, sorted({run["steps"] for run in each["runs"]})))
        scores = [bleu, difference, _number(mean, "wer"), _number(mean, "exact_match")]
        published = ", ".join(
            f"{p['bleu4']:g} ({p['data']}, {p['source']})" for p in each["published"]
        )
        rows.append([name, *size, steps, len(each["seeds_finished"]), *scores, published or "none"])
    heading = ["variant", "training clips", "epochs", "steps", "seeds", "BLEU-4", "difference"]
    return _table([*heading, "WER", "exact match", "published BLEU-4"], rows)


def _published(found: dict[str, Any]) -> list[str]:
    """Returns what to know about published figures, if there are any."""
    figures = (figure for each in found["variants"].values() for figure in each["published"])
    sets = " and ".join(sorted({figure["data"] for figure in figures}))
    if not sets:
        return []
    warning = "Figures of different data sets cannot be compared, only which variant is better."
    return [f"The published figures are of {sets}, these of `{found['data']}`. {warning}"]


def _runs(variants: dict[str, Any]) -> str:
    rows = []
    for name, run in _all_runs(variants):
        scores = [_with_interval(run, score) for score in ("bleu4", "wer", "exact_match")]
        test = run.get("test")
        scores.append(f"{run['most_common_share']:.1%}")
        rows.append([name, run["seed"], *scores, *(_tested(test) if test else [""] * 3)])
    heading = ["variant", "seed", "BLEU-4", "WER", "exact match", "most common", "against"]
    return _table([*heading, "difference", "p"], rows)


def _tested(test: dict[str, Any]) -> list[str]:
    bleu = test["bleu4"]
    difference = bleu["first"] - bleu["second"]
    return [test["against"], f"{difference:+{_digits(difference)}}", f"{bleu['p_value']:.4f}"]


def _attention(variants: dict[str, Any]) -> str:
    """Returns the table of what the attention does; empty if nobody looked, or there is none."""
    rows = []
    for name, run in _all_runs(variants):
        if look := run.get("attention"):
            names = ("change", "far_share", "uniform_far_share")
            shares = [f"{look[share]:.1%}" for share in names]
            rows.append([name, run["seed"], f"{look['gamma']:.3f}", *shares])
    heading = ["variant", "seed", "gamma", "changes the maps by", "far", "uniform"]
    return _table(heading, rows) if rows else ""


def _costs(variants: dict[str, Any]) -> str:
    rows = []
    for name, each in variants.items():
        seconds = _number(each["mean"], "seconds_a_step", 3)
        threads = ", ".join(map(str, sorted({run["threads"] for run in each["runs"]})))
        rows.append([name, f"{each['parameters']:,}", _operations(each), seconds, threads])
    heading = ["variant", "parameters", "GFLOP a frame", "seconds a step", "threads"]
    return _table(heading, rows)


def _operations(variant: dict[str, Any]) -> str:
    if "flops_of_clip" not in variant:  # glosses are the input
        return ""
    frames, size, flops = (variant[name] for name in ("clip_frames", "image_size", "flops_of_clip"))
    return f"{flops / frames / 1e9:.4f} ({size}x{size})"


def _commands(variants: dict[str, Any]) -> str:
    lines = [run["command"] for _, run in _all_runs(variants)]
    return "\n".join(["```", *lines, "```"])


def _all_runs(variants: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    return ((name, run) for name, each in variants.items() for run in each["runs"])


def _with_interval(run: dict[str, Any], name: str) -> str:
    if name not in run:
        return ""
    value, low, high = (run[f"{name}{end}"] for end in ("", "_low", "_high"))
    digits = _digits(value)
    return f"{value:{digits}} ({low:{digits}} to {high:{digits}})"


def _with_range(mean: dict[str, Any], name: str, sign: str) -> str:
    """Returns a mean and its range over the seeds, if they differ."""
    value, low, high = (mean[f"{name}{end}"] for end in ("", "_lowest", "_highest"))
    digits = sign + _digits(value)
    rest = f" ({low:{digits}} to {high:{digits}})" if low != high else ""
    return f"{value:{digits}}{rest}"


def _digits(value: float) -> str:
    return ".1f" if abs(value) >= 1 or not value else ".2f"


def _number(values: dict[str, Any], name: str, digits: int = 1) -> str:
    return f"{values[name]:.{digits}f}" if name in values else ""


def _table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
