"""Writes the model of a run with a card, to pass it on or to put it on the Hugging Face Hub.

python scripts/save_pretrained.py --checkpoint runs/quickstart --output quickstart
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from slt_fast import Translator
from slt_fast.command_line import parse, run
from slt_fast.files import read_json
from slt_fast.pretrained import Dtype
from slt_fast.settings import check_settings


@dataclass(frozen=True)
class Arguments:
    """Writes the model of a run with a card."""

    checkpoint: Path
    """Folder of a checkpoint, or of a run (its best checkpoint)."""
    output: Path
    """Folder to write, new or empty; its name is that of the model."""
    scores: Path | None = None
    """File of scores for the card, by slt-evaluate --output; by default metrics.json of the run's
    folder, if it is there. Those are of its own weights in the training's precision."""
    note: str = ""
    """A paragraph for the card: on which machine the scores were measured, say."""
    license: str = ""
    """Licence of the weights for the card, as the Hub abbreviates it: mit."""
    dtype: Dtype = "float16"
    """Of the weights in the file."""
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    """Precision that the model computes in from then on; by default that of its training."""

    def __post_init__(self) -> None:
        check_settings(self)


def main() -> None:
    """Writes the model that the command line names."""
    arguments = parse(Arguments, __doc__)
    translator = Translator.load(arguments.checkpoint, device="cpu")
    if arguments.precision:
        recipe = translator.trained.recipe
        settings = replace(recipe.training, precision=arguments.precision)
        translator.trained = replace(translator.trained, recipe=replace(recipe, training=settings))
    scores, of_run = arguments.scores, arguments.checkpoint / "metrics.json"
    if scores is None and of_run.is_file():
        scores = of_run
    translator.save_pretrained(
        arguments.output,
        dtype=arguments.dtype,
        scores=None if scores is None else read_json(scores),
        note=arguments.note,
        license=arguments.license,
    )
    print(f"wrote {arguments.output}; hf upload USER/MODEL {arguments.output} puts it on the Hub")


if __name__ == "__main__":
    run(main)
