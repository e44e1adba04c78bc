"""Divides the clips of an epoch into steps, and each step into what is computed at once.

A step is the same whatever computes it: the shares of several processes and the parts of one share
hold each of its clips once.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

# Clips whose lengths differ by a smaller share than this may change places in their order.
_LIKE_LENGTH = 0.2


def in_groups(clips: Iterable[int], size: int) -> list[list[int]]:
    """Divides clips in their order into groups of a size; the last may be smaller."""
    clips = list(clips)
    return [clips[start : start + size] for start in range(0, len(clips), size)]


def packed(clips: Sequence[int], frames: Sequence[int], budget: int) -> list[list[int]]:
    """Divides clips in their order into groups of as many as a budget of frames holds.

    Args:
        clips: Numbers of the clips.
        frames: Frames of every clip of the data set.
        budget: Most frames of a group; a clip with more is a group of its own.
    """
    groups: list[list[int]] = []
    total = 0
    for clip in clips:
        total += frames[clip]
        if not groups or total > budget:
            groups.append([])
            total = frames[clip]
        groups[-1].append(clip)
    return groups


def steps_of_like_length(
    frames: Sequence[int], budget: int, generator: torch.Generator
) -> list[list[int]]:
    """Divides the clips of a data set into steps of like clips that a budget of frames holds.

    The clips are packed in the order of their lengths, each of which is changed a little at random,
    and the steps are shuffled.
    """
    lengths = torch.tensor(frames) * (
        1 + _LIKE_LENGTH * torch.rand(len(frames), generator=generator)
    )
    groups = packed(lengths.argsort(stable=True).tolist(), frames, budget)
    return [groups[number] for number in torch.randperm(len(groups), generator=generator)]


def shares(clips: Sequence[int], frames: Sequence[int], number: int) -> list[list[int]]:
    """Divides the clips of a step among processes, so that each has about as many frames.

    The longest clips are given out first, each to the process with the fewest frames. A process
    goes without if there are fewer clips than processes.
    """
    given: list[list[int]] = [[] for _ in range(number)]
    totals = [0] * number
    for clip in sorted(clips, key=lambda clip: -frames[clip]):
        least = totals.index(min(totals))
        given[least].append(clip)
        totals[least] += frames[clip]
    return [[clip for clip in clips if clip in share] for share in map(set, given)]


def seeded_generator(*seeds: int) -> torch.Generator:
    """Returns a generator whose numbers depend on all of the seeds."""
    (state,) = np.random.SeedSequence(seeds).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
