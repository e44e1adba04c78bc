"""Compares exported graphs with the network that they were made of."""

from __future__ import annotations

from pathlib import Path

import torch

from slt_fast.checkpoint import TrainedModel
from slt_fast.export.graphs import ClipEncoder, DecoderStep, empty_past, plain_network

# Sizes that the graphs were not traced with.
_T, _K, _S = 6, 2, 3
# Of the largest number of an output; float32 in another order differs by about 1e-6.
_TOLERANCE = 1e-3


def largest_difference(trained: TrainedModel, folder: Path) -> float:
    """Returns how far the outputs of the graphs are from those of the network, on random images.

    Args:
        trained: The model.
        folder: Folder of its graphs.

    Returns:
        The largest difference between two numbers of an output, over the output's largest number.

    Raises:
        RuntimeError: It is more than rounding explains.
    """
    network, size = plain_network(trained), trained.recipe.input.image_size
    recognises = trained.recognises_glosses
    encoder = ClipEncoder(network.image_encoder, recognises_glosses=recognises)
    images = {"images": torch.rand(_T, 3, size, size)}
    memory, *_ = encoder(**images)
    inputs = {
        "tokens": torch.ones(_K, _S, dtype=torch.long),
        "rows": torch.tensor([1, 0]),
        "memory": memory,
        "past": empty_past(trained, _K, _S - 1).normal_(),
    }
    modules = (("encoder", encoder, images), ("decoder", DecoderStep(network.decoder), inputs))
    largest = 0.0
    for name, module, given in modules:
        wanted = module(**given)
        for suffix, run in ((".onnx", _run_onnx), (".pt2", _run_program)):
            for number, found in enumerate(run(folder / f"{name}{suffix}", given)):
                expected = wanted[number]
                share = float((found - expected).abs().max() / expected.abs().max())
                if not share <= _TOLERANCE:
                    text = f"found output {number} to differ by {share:.2g} of its largest number"
                    raise RuntimeError(f"{name}{suffix}: {text}; expected {_TOLERANCE:g} at most")
                largest = max(largest, share)
    return largest


def _run_onnx(path: Path, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
    return [torch.from_numpy(array) for array in session.run(None, arrays)]


def _run_program(path: Path, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return list(torch.export.load(path).module()(**inputs))
