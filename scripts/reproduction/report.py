"""The report of an experiment as Markdown."""

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

_SPREAD = (
    "Means over the seeds; in brackets the lowest and highest seed. Brackets in the table of runs "
    "are 95 % bootstrap intervals over the test clips of one run: they show what other clips would "
    "change, not what another seed would."
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
    "which counts two for a multiplication with an addition. Seconds a step are means over epochs "
    "and seeds, without reading and scoring; runs beside each other slow each other down."
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
    return (
        f"Data `{found['data']}`, {_recipes(found)}, other options: `{options}`, "
        f"{found['seeds']} seeds, scored on {scored}. torch {found['torch']}, "
        f"{found['jobs']} runs at a time."
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
        bleu, difference = _with_range(mean, "bleu4", ".1f"), ""
        if "difference" in mean:
            difference = f"{_with_range(mean, 'difference', '+.1f')} against {each['against']}"
        size = ["all" if each["train_clips"] is None else each["train_clips"], each["epochs"]]
        scores = [bleu, difference, _number(mean, "wer"), _number(mean, "exact_match")]
        published = ", ".join(
            f"{p['bleu4']:g} ({p['data']}, {p['source']})" for p in each["published"]
        )
        rows.append([name, *size, len(each["seeds_finished"]), *scores, published])
    heading = ["variant", "training clips", "epochs", "seeds", "BLEU-4", "difference", "WER"]
    return _table([*heading, "exact match", "published BLEU-4"], rows)


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
        rows.append([name, run["seed"], *scores, *(_tested(test) if test else [""] * 3)])
    heading = ["variant", "seed", "BLEU-4", "WER", "exact match", "against", "difference", "p"]
    return _table(heading, rows)


def _tested(test: dict[str, Any]) -> list[str]:
    bleu = test["bleu4"]
    difference = bleu["first"] - bleu["second"]
    return [test["against"], f"{difference:+.1f}", f"{bleu['p_value']:.4f}"]


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
        rows.append([name, f"{each['parameters']:,}", *_operations(each), seconds, threads])
    heading = ["variant", "parameters", "GFLOP a frame", "GFLOP a clip", "seconds a step"]
    return _table([*heading, "threads"], rows)


def _operations(variant: dict[str, Any]) -> list[str]:
    if "flops_of_clip" not in variant:  # glosses are the input
        return ["", ""]
    frames, size, flops = (variant[name] for name in ("clip_frames", "image_size", "flops_of_clip"))
    clip = f"{flops / 1e9:.3f} ({frames} frames of {size}x{size})"
    return [f"{flops / frames / 1e9:.4f}", clip]


def _commands(variants: dict[str, Any]) -> str:
    lines = [run["command"] for _, run in _all_runs(variants)]
    return "\n".join(["```", *lines, "```"])


def _all_runs(variants: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    return ((name, run) for name, each in variants.items() for run in each["runs"])


def _with_interval(run: dict[str, Any], name: str) -> str:
    if name not in run:
        return ""
    return f"{run[name]:.1f} ({run[f'{name}_low']:.1f} to {run[f'{name}_high']:.1f})"


def _with_range(mean: dict[str, Any], name: str, digits: str) -> str:
    low, high = (format(mean[f"{name}_{end}"], digits) for end in ("lowest", "highest"))
    return f"{mean[name]:{digits}} ({low} to {high})"


def _number(values: dict[str, Any], name: str, digits: int = 1) -> str:
    return f"{values[name]:.{digits}f}" if name in values else ""


def _table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
