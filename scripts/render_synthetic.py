"""Renders gloss sentences of an annotation file into the official PHOENIX-2014-T folder layout.

python scripts/render_synthetic.py --annotations PHOENIX-2014-T.dev.corpus.csv --output DIR
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm import tqdm

from slt_fast.command_line import run
from slt_fast.data.synthetic.phoenix_layout import render_annotations


@dataclass(frozen=True)
class Arguments:
    """Renders annotated gloss sentences as frames."""

    annotations: Path
    """Annotation file PHOENIX-2014-T.SPLIT.corpus.csv; its name tells the split."""
    output: Path
    """Folder that becomes the data set's root."""
    limit: int | None = None
    """Only the first sentences."""
    width: int = 210
    """Width of the frames in pixels."""
    height: int = 260
    """Height of the frames in pixels."""
    seed: int = 0
    """Seed of signers and rendering."""


def main() -> None:
    arguments = tyro.cli(Arguments, description=__doc__)
    size = (arguments.height, arguments.width)
    written = 0
    rendering = render_annotations(
        arguments.annotations,
        arguments.output,
        limit=arguments.limit,
        size=size,
        seed=arguments.seed,
    )
    for num_frames in tqdm(rendering, unit="clip", total=arguments.limit):
        written += num_frames
    print(f"wrote {written} frames; train on them with --data phoenix14t:{arguments.output}")


if __name__ == "__main__":
    run(main)
