"""The learning rate of each training step."""

import math

from slt_fast.recipe import TrainingConfig


def learning_rate(settings: TrainingConfig, step: int, num_steps: int) -> float:
    """Returns the learning rate of a step, from 0, of a training of num_steps."""
    if settings.schedule == "constant":
        return settings.learning_rate
    if settings.schedule != "cosine":
        raise ValueError(f"schedule: found {settings.schedule!r}; expected constant or cosine")
    warmup = max(1, num_steps // 10)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    share = min(1.0, (step - warmup) / max(1, num_steps - warmup))
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
