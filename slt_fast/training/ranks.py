"""Processes that train together: torchrun starts them, each computes its share of every step.

Gradients are summed here rather than by DistributedDataParallel: the shares of a step differ in
size, a process may have none, and the losses are divided by the counts of the whole step already.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from slt_fast.data.flow_cache.extraction import share_of_work
from slt_fast.data.packing import shares
from slt_fast.device import choose_device


@dataclass(frozen=True)
class Ranks:
    """The processes that train together, as one of them sees them.

    Args:
        rank: Number of this process; 0 writes the run's folder.
        number: Number of processes; 1 needs no torch.distributed.
    """

    rank: int = 0
    number: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, clips: Sequence[int], frames: Sequence[int]) -> list[int]:
        """Returns the clips of a step that this process computes."""
        return list(clips) if self.number == 1 else shares(clips, frames, self.number)[self.rank]

    def sum(self, *tensors: torch.Tensor) -> None:
        """Sums tensors of one type and device over all processes, in place and in one message."""
        if self.number == 1:
            return
        joined = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(joined)
        parts = joined.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Returns for each flag whether it is set in any process."""
        counts = torch.tensor(flags, dtype=torch.long)
        self.sum(counts)
        return tuple(count > 0 for count in counts.tolist())

    def wait(self) -> None:
        """Returns when all processes are here."""
        self.any(False)

    def gather(self, value: Any) -> list[Any]:
        """Returns the values of all processes, in the order of their numbers."""
        if self.number == 1:
            return [value]
        values: list[Any] = [None] * self.number
        dist.all_gather_object(values, value)
        return values

    def of_others(self, values: list[Any]) -> list[Any]:
        """Returns the values in the lists of all other processes."""
        gathered = self.gather(values)
        return [value for rank, each in enumerate(gathered) if rank != self.rank for value in each]


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Joins the processes that torchrun started.

    Raises:
        UserError: The environment is not torchrun's.
    """
    rank, number = share_of_work()
    if number == 1:
        yield Ranks()
        return
    # Messages between hosts go beside those between GPUs, so that they wait for no GPU.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    # torchrun keeps one store for all its attempts: the addresses of processes that died are in it.
    store, rank, number = next(dist.rendezvous("env://"))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = dist.PrefixStore(f"attempt {attempt}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=number)
    if torch.cuda.is_available():
        torch.cuda.set_device(choose_device())
    try:
        yield Ranks(rank, number)
    finally:
        dist.destroy_process_group()
