"""Frames in which the gradient does not reach the backbone."""

import pytest
import torch

from slt_fast.model.batch_norm import set_training
from slt_fast.model.config import ModelConfig
from slt_fast.model.encoder import Encoder

T = 12
LENGTHS = torch.tensor([5, 7])


def encoder(share: float, *, batch_norm: str = "frozen") -> Encoder:
    torch.manual_seed(1)
    config = ModelConfig(
        backbone_stages=1, backbone_weights="none", memory_map_size=(3, 3), width=16, dropout=0.0
    )
    module = Encoder(config, 5)
    module.gradient_dropout = share
    set_training(module, batch_norm)
    return module


def images_with_gradient(module: Encoder, images: torch.Tensor) -> int:
    images.grad = None
    module(images, LENGTHS).gloss_logits.square().sum().backward()
    return int((images.grad.flatten(1).abs().sum(1) > 0).sum())


@pytest.mark.parametrize("chunk", [0, 6])
@pytest.mark.parametrize(("share", "expected"), [(0.0, 12), (0.5, 6), (1 / 3, 8)])
def test_the_gradient_reaches_a_share_of_the_frames(share, expected, chunk) -> None:
    module = encoder(share)
    module.frames_per_chunk = chunk
    images = torch.rand(T, 3, 12, 12, requires_grad=True)
    assert images_with_gradient(module, images) == expected


@pytest.mark.parametrize("autocast", [False, True])
def test_what_is_computed_twice_has_the_same_gradients(autocast: bool) -> None:
    found, images = [], torch.rand(T, 3, 12, 12)
    for recomputes in (False, True):
        module = encoder(0.5)
        module.frames_per_chunk, module.recomputes_chunks = 6, recomputes
        torch.manual_seed(2)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            module(images, LENGTHS).gloss_logits.float().square().sum().backward()
        found.append([each.grad for each in module.parameters()])
    for kept, computed_again in zip(*found, strict=True):
        torch.testing.assert_close(computed_again, kept)


def test_two_frames_keep_their_gradient_however_few_shall() -> None:
    images = torch.rand(T, 3, 12, 12, requires_grad=True)
    assert images_with_gradient(encoder(0.99), images) == 2


def test_each_step_chooses_others() -> None:
    module, images = encoder(0.5), torch.rand(T, 3, 12, 12, requires_grad=True)
    chosen = set()
    for _ in range(5):
        images_with_gradient(module, images)
        chosen.add(tuple((images.grad.flatten(1).abs().sum(1) > 0).tolist()))
    assert len(chosen) > 1


def test_what_is_computed_stays_the_same() -> None:
    whole, parts, images = encoder(0.0), encoder(0.5), torch.rand(T, 3, 12, 12)
    expected, found = whole(images, LENGTHS), parts(images, LENGTHS)
    torch.testing.assert_close(found.memory, expected.memory)
    torch.testing.assert_close(found.gloss_logits, expected.gloss_logits)


def test_batch_norm_sees_both_parts() -> None:
    module = encoder(0.5, batch_norm="batch")
    module(torch.rand(T, 3, 12, 12), LENGTHS)
    assert module.backbone.stem[1].num_batches_tracked == 2
    assert module.layer.attention_norm.num_batches_tracked == 1


def test_nothing_is_left_out_when_scoring_or_of_three_frames() -> None:
    scoring = encoder(0.5).eval()
    images = torch.rand(T, 3, 12, 12, requires_grad=True)
    assert images_with_gradient(scoring, images) == T
    module, few = encoder(0.5), torch.rand(3, 3, 12, 12, requires_grad=True)
    module(few, torch.tensor([3])).gloss_logits.sum().backward()
    assert (few.grad.flatten(1).abs().sum(1) > 0).all()


def test_the_weights_learn_in_bfloat16() -> None:
    module = encoder(0.5)
    with torch.autocast("cpu", torch.bfloat16):
        module(torch.rand(T, 3, 12, 12), LENGTHS).gloss_logits.float().sum().backward()
    assert module.backbone.stem[0].weight.grad.abs().sum() > 0
