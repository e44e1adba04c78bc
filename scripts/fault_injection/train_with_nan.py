"""Runs scripts/train.py with NaN in the batches of some steps, and names each step as it begins.

python train_with_nan.py STEPS [OPTIONS OF scripts/train.py]; STEPS are numbers with commas between.
"""

import functools
import math
import runpy
import sys
from pathlib import Path
from typing import Any

# Before torch, because it chooses how threads wait.
import slt_fast.commands.train  # noqa: F401  # isort: skip

import torch
from torch import nn

from slt_fast.training.step import Stepper

BEGINS = "begins step "


def _with_nan(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    images, *others = arguments
    return torch.full_like(images, math.nan), *others


def inject(steps: set[int]) -> None:
    """Puts NaN in place of the images of these steps."""
    take = Stepper.take

    @functools.wraps(take)
    def announced(self: Stepper, step: int, *arguments: Any, **options: Any) -> bool:
        print(f"{BEGINS}{step}", file=sys.stderr, flush=True)
        if step not in steps:
            return take(self, step, *arguments, **options)
        hook = self.network.register_forward_pre_hook(_with_nan)
        try:
            return take(self, step, *arguments, **options)
        finally:
            hook.remove()

    Stepper.take = announced  # type: ignore[method-assign]


if __name__ == "__main__":
    inject({int(step) for step in sys.argv.pop(1).split(",") if step})
    runpy.run_path(str(Path(__file__).parents[1] / "train.py"), run_name="__main__")
