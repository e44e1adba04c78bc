"""Scores a checkpoint on a split.

python scripts/evaluate.py --checkpoint runs/quickstart/best --split test
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from slt_fast.checkpoint import load_model
from slt_fast.command_line import run
from slt_fast.data.batching import ClipDataset
from slt_fast.data.flow_cache.cache import open_flow_cache, with_cached_flow
from slt_fast.data.input import flow_device
from slt_fast.data.probes import probe
from slt_fast.data.sources import data_root, read_split
from slt_fast.device import choose_device
from slt_fast.files import write_json
from slt_fast.training.evaluation import evaluate


@dataclass(frozen=True)
class Arguments:
    """Scores a checkpoint on a split."""

    checkpoint: Path
    """Folder of a checkpoint or of a run (its best checkpoint)."""
    data: str | None = None
    """synthetic[:SEED], phoenix14t:PATH or manifest:FILE; by default the training's."""
    split: str | None = None
    """Name of the split; by default the run's test split."""
    probe: Literal["blank", "neutral"] | None = None
    """Score changed clips: blank (black frames), neutral (synthetic: no headshake, no nod)."""
    beam_size: int | None = None
    """Beams of the search; by default the recipe's."""
    flow_cache: Path | None = None
    """Folder that scripts/extract_flow.py made: flow is read from it, not computed."""
    output: Path | None = None
    """File to write the scores to, as JSON."""
    skip_bad: bool = False
    """Leave out clips that cannot be read and list them."""
    device: str = "auto"
    """auto takes the GPU if there is one."""


def main() -> None:
    arguments = tyro.cli(Arguments, description=__doc__)
    trained = load_model(arguments.checkpoint)
    device = choose_device(arguments.device)
    trained.network.to(device)
    data = arguments.data or trained.trained_on.data
    split = arguments.split or trained.trained_on.test_split
    problems = []
    on_error = problems.append if arguments.skip_bad else None
    clips = read_split(data, split, on_error=on_error)
    if arguments.probe:
        clips = [probe(clip, arguments.probe) for clip in clips]
    if arguments.flow_cache:
        root = data_root(data)
        cache = open_flow_cache(arguments.flow_cache, trained.recipe.input, root)
        clips = with_cached_flow(clips, cache)
    beam_size = arguments.beam_size
    if beam_size is None:
        beam_size = trained.recipe.training.beam_size
    config = trained.recipe.input
    dataset = ClipDataset(clips, config, device=flow_device(config, device))
    result = evaluate(trained, dataset, beam_size=beam_size, on_error=on_error)
    for error in problems:
        print(f"left out: {error}", file=sys.stderr)
    scores = {f"{split}.{name}": value for name, value in result.scores.items()}
    print(json.dumps(scores, indent=1))
    if arguments.output:
        write_json(arguments.output, scores)


if __name__ == "__main__":
    run(main)
