"""Frames in chunks whose activations are computed again for the backward pass."""

import pytest
import torch
from torch import nn

from slt_fast.device import autocast
from slt_fast.model.batch_norm import set_training
from slt_fast.model.config import ModelConfig
from slt_fast.model.decoder import Decoder
from slt_fast.model.encoder import Encoder
from slt_fast.model.network import TranslationNetwork
from slt_fast.training.live_tensors import LiveTensors

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


@pytest.mark.parametrize("norm_placement", ["pre", "post"])
def test_recomputed_layers_of_the_decoder_equal_kept_ones(norm_placement: str) -> None:
    """With dropout."""
    torch.manual_seed(1)
    sizes = {"width": 16, "decoder_layers": 2, "decoder_feed_forward": 32}
    module = Decoder(ModelConfig(decoder_norm_placement=norm_placement, **sizes), 11)
    tokens, padding = torch.randint(11, (2, 5)), torch.zeros(2, 6, dtype=torch.bool)
    padding[1, 4:] = True
    found = []
    for module.recomputes_layers in (False, True):
        module.zero_grad()
        memory = torch.ones(2, 6, 16).cumsum(1).requires_grad_()
        torch.manual_seed(2)
        logits = module(tokens, memory, padding)
        logits.square().sum().backward()
        found.append([logits, memory.grad, *(p.grad.clone() for p in module.parameters())])
    for kept, recomputed in zip(*found, strict=True):
        assert torch.equal(kept, recomputed)


def test_a_network_in_chunks_equals_one_that_keeps_all() -> None:
    torch.manual_seed(1)
    sizes = {"backbone_stages": 1, "memory_map_size": (2, 2), "width": 16, "decoder_layers": 2}
    config = ModelConfig(backbone_weights="none", memory="pixel", dropout=0.0, **sizes)
    network = TranslationNetwork(config, num_glosses=5, num_words=7)
    set_training(network, "frozen")
    found = []
    for frames in (0, 4):
        network.compute_in_chunks(frames)
        network.zero_grad()
        output = network(IMAGES, LENGTHS, torch.randint(7, (2, 5), generator=torch.Generator()))
        (output.text_logits.square().sum() + output.gloss_logits.square().sum()).backward()
        found.append([output.text_logits, *(p.grad.clone() for p in network.parameters())])
    for kept, recomputed in zip(*found, strict=True):
        torch.testing.assert_close(kept, recomputed, rtol=1e-3, atol=1e-4)


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


def kept(module: nn.Module, frames: int) -> int:
    """Bytes that are alive between the forward and the backward pass, without the weights."""
    with LiveTensors([*module.parameters(), *module.buffers()]) as live:
        encoded = module(torch.rand(frames, 3, 32, 32), torch.tensor([frames]))
        assert encoded.memory.requires_grad
        return live.num_bytes


def test_activations_are_not_kept() -> None:
    """What a frame adds is its image and its vector."""
    chunks, whole = encoder(), encoder()
    chunks.frames_per_chunk = 4
    growth = (kept(chunks, 24) - kept(chunks, 12)) / 12
    image, vector = 3 * 32 * 32 * 4, 16 * 4
    assert image < growth < image + 32 * vector < 0.1 * (kept(whole, 24) - kept(whole, 12)) / 12


def test_inference_takes_no_more_frames_at_once() -> None:
    module, seen = encoder().eval(), []
    module.backbone.register_forward_hook(lambda _, given, result: seen.append(len(result)))
    with torch.no_grad():
        whole = module(IMAGES, LENGTHS)
        module.frames_per_chunk = 4
        chunks = module(IMAGES, LENGTHS)
    assert seen == [11, 4, 4, 3]
    torch.testing.assert_close(chunks.memory, whole.memory)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("memory", ["frame", "pixel"])
def test_growth_of_a_frame_at_full_size(memory: str, precision: str) -> None:
    """At 224x224 pixels a frame's activations are 23 MB (bfloat16: 12), its image 0.6."""
    config = ModelConfig(backbone_weights="none", memory=memory)
    network = TranslationNetwork(config, num_glosses=1000, num_words=3000)
    network.compute_in_chunks(2)

    def alive(frames: int) -> int:
        with LiveTensors([*network.parameters(), *network.buffers()]) as live:
            images, text = torch.zeros(frames, 3, 224, 224), torch.ones(1, 30, dtype=torch.int64)
            with autocast(torch.device("cpu"), precision):
                output = network(images, torch.tensor([frames]), text)
            assert output.text_logits.requires_grad
            return live.num_bytes

    image = 3 * 224 * 224 * 4
    assert image < (alive(6) - alive(2)) / 4 < 1.5e6
