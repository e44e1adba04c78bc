"""Writes a trained model for programs without this package, as ONNX and by torch.export.

slt-export --checkpoint runs/quickstart --output exported

The folder has a README.md and a program that translates with numpy and onnxruntime.
"""

from dataclasses import dataclass
from pathlib import Path

from slt_fast import command_line
from slt_fast.checkpoint import checkpoint_folder, load_model
from slt_fast.errors import UserError, printable
from slt_fast.export.folder import export_model
from slt_fast.settings import format_bytes


@dataclass(frozen=True)
class Arguments:
    """Writes a trained model for programs without this package, as ONNX and by torch.export."""

    checkpoint: Path
    """Folder of a checkpoint, or of a run (its best checkpoint)."""
    output: Path
    """Folder to write; an older export in it is replaced, anything else is refused."""


def main() -> None:
    """Exports a model as the command line says."""
    arguments = command_line.parse(Arguments, __doc__)
    _check_place(arguments)
    difference = export_model(load_model(arguments.checkpoint), arguments.output)
    sizes = [
        f"{path.name} {format_bytes(path.stat().st_size)}"
        for path in sorted(arguments.output.iterdir())
        if path.suffix in (".onnx", ".pt2")
    ]
    print(f"{printable(str(arguments.output))}: {', '.join(sizes)}")
    print(
        f"largest difference to the model on random images: {difference:.1e} of the largest number"
    )


def _check_place(arguments: Arguments) -> None:
    """Raises UserError if the output lies in the checkpoint, or the checkpoint in the output."""
    source = checkpoint_folder(arguments.checkpoint).resolve()
    output = arguments.output.resolve()
    if output in (source, *source.parents) or source in output.parents:
        found = f"found {arguments.output}, which belongs to --checkpoint"
        raise UserError(f"--output: {found}; expected another place to write to")


def entry() -> None:
    """Runs the command line."""
    command_line.run(main)
