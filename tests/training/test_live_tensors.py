"""Bytes of tensors that are alive, and the most of them."""

import torch

from slt_fast.training.live_tensors import LiveTensors

KB = torch.float32.itemsize * 250


def test_counts_until_nothing_holds_a_tensor() -> None:
    with LiveTensors() as live:
        first = torch.zeros(250)
        view = first.view(5, 50)[1:]
        second = first + 1
        assert live.num_bytes == live.peak == 2 * KB
        del first, second
        assert live.num_bytes == KB and live.peak == 2 * KB
        del view
        assert live.num_bytes == 0
    assert live.peak == 2 * KB


def test_what_is_known_and_what_was_before_does_not_count() -> None:
    weight, before = torch.ones(250), torch.ones(250)
    with LiveTensors([weight]) as live:
        weight.mul_(2)
        weight.view(5, 50).add_(1)
        assert live.num_bytes == 0
        result = before * weight
        assert live.num_bytes == KB
    assert result.sum() == 750


def test_saved_tensors_and_gradients_count() -> None:
    weight = torch.ones(250, requires_grad=True)
    with LiveTensors([weight]) as live:
        loss = (weight.exp().exp()).sum()  # the results of both are saved
        assert 2 * KB <= live.num_bytes < 2 * KB + 100
        loss.backward()
        del loss
        assert live.num_bytes == KB  # the gradient
        assert live.peak >= 3 * KB
        weight.grad = None
        assert live.num_bytes == 0
