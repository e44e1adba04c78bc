"""Frames in chunks whose activations are computed anew for the backward pass."""

import pytest
import torch
from torch import nn

from slt_fast.model.batch_norm import set_training
from slt_fast.model.config import ModelConfig
from slt_fast.model.encoder import Encoder

IMAGES, LENGTHS = torch.rand(11, 3, 32, 32), torch.tensor([4, 7])
Result = tuple[list[torch.Tensor], list[torch.Tensor], dict[str, torch.Tensor]]


def encoder(memory: str = "frame", batch_norm: str = "batch") -> Encoder:
    torch.manual_seed(1)
    sizes = {"backbone_stages": 2, "memory_map_size": (4, 4), "width": 16}
    config = ModelConfig(backbone_weights="none", gamma_start=0.5, memory=memory, **sizes)
    module = Encoder(config, 5)
    set_training(module, batch_norm)
    return module


def run(module: Encoder, images: torch.Tensor = IMAGES) -> Result:
    """Outputs, gradients and the state of the module afterwards."""
    torch.manual_seed(2)  # of the dropout
    encoded = module(images, LENGTHS)
    outputs = [encoded.memory, encoded.gloss_logits]
    sum(output.square().sum() for output in outputs).backward()
    return outputs, [parameter.grad for parameter in module.parameters()], module.state_dict()


def assert_equal(first: Result, second: Result) -> None:
    (outputs, gradients, state), (others, other_gradients, other_state) = first, second
    for one, other in zip([*outputs, *gradients], [*others, *other_gradients], strict=True):
        assert torch.equal(one, other)
    for name, value in state.items():
        assert torch.equal(value, other_state[name]), name


@pytest.mark.parametrize("memory", ["frame", "pixel"])
@pytest.mark.parametrize("frames", [1, 4, 11, 100])
def test_equals_the_same_chunks_kept(memory: str, frames: int) -> None:
    """With dropout, and with statistics that count each chunk once."""
    kept, recomputed = encoder(memory), encoder(memory)
    kept.frames_per_chunk = recomputed.frames_per_chunk = frames
    kept.recomputes_chunks = False
    assert_equal(run(recomputed), run(kept))
    counts = {int(m.num_batches_tracked) for m in kept.modules() if isinstance(m, nn.BatchNorm2d)}
    assert counts == {-(-11 // frames)}


def test_one_chunk_equals_no_chunks() -> None:
    whole, chunk = encoder(), encoder()
    chunk.frames_per_chunk = 11
    assert_equal(run(chunk), run(whole))


def test_with_frozen_batch_norm_chunks_do_not_matter() -> None:
    whole, chunks = encoder(batch_norm="frozen"), encoder(batch_norm="frozen")
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    before = {name: value for name, value in before.items() if "running" in name}
    chunks.frames_per_chunk, chunks.dropout.p, whole.dropout.p = 3, 0.0, 0.0
    (outputs, gradients, state), (others, other_gradients, _) = run(whole), run(chunks)
    for one, other in zip([*outputs, *gradients], [*others, *other_gradients], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    for name, value in before.items():
        assert torch.equal(state[name], value), name


def test_batch_norm_counts_again_after_an_error() -> None:
    module = encoder()
    module.frames_per_chunk = 4
    encoded = module(IMAGES, LENGTHS)
    module.layer.feed_forward_norm.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encoded.memory.sum().backward()
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms and all(norm.momentum == 0.1 for norm in norms)
    assert all(norm.num_batches_tracked == 3 for norm in norms)


def test_activations_are_not_kept() -> None:
    """What a frame adds to the saved tensors is its image and its vector."""

    def saved(frames: int, per_chunk: int) -> int:
        module = encoder()
        module.frames_per_chunk = per_chunk
        kept: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            encoded = module(torch.rand(frames, 3, 32, 32), torch.tensor([frames]))
        del encoded
        return sum(kept.values())

    growth = (saved(24, 4) - saved(12, 4)) / 12
    image, vector = 3 * 32 * 32 * 4, 16 * 4
    assert growth < 2 * image + 32 * vector < 0.1 * (saved(24, 0) - saved(12, 0)) / 12
