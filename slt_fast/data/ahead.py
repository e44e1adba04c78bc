"""Batches on a GPU, made on a stream beside the one that trains."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from slt_fast.data.batching import Batch
from slt_fast.device import to_device


def on_stream_beside(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yields batches with their images on a device.

    A GPU's images are made and copied on a stream of their own: while the stream that trains still
    computes the step before, which the host does not wait for.

    Args:
        batches: The batches; a GPU may make their images as they are asked for.
        device: The device; a CPU has no streams.
    """
    if device.type != "cuda":
        yield from batches
        return
    training, beside = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    batches = iter(batches)
    while True:
        with torch.cuda.stream(beside):
            batch = next(batches, None)
            if batch is None:
                return
            images = to_device(batch.images, device)
        training.wait_stream(beside)
        images.record_stream(training)  # or its memory would be given away when `beside` is done
        yield replace(batch, images=images)
