import functools

import pytest
import torch

from benchmarks import parity
from benchmarks.cases import OPERATORS, Case, make_inputs
from benchmarks.peers import checked, peer_of, plain

TINY = {"B": 3, "H": 3, "W": 5, "C": 32, "key_channels": 16}


def slightly_larger(case: Case, *tensors: torch.Tensor) -> torch.Tensor:
    return plain(case)(*tensors) * 1.001


def wrong_in_one_map(case: Case, *tensors: torch.Tensor) -> torch.Tensor:
    y = plain(case)(*tensors)
    return torch.cat([y[:-1], y[-1:] * 1.001])


def unwritten(case: Case, *tensors: torch.Tensor) -> torch.Tensor:
    y = plain(case)(*tensors)
    return torch.cat([torch.empty_like(y[:1]), y[1:]])


def wrong_gradient(case: Case, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    y = plain(case)(first, *others)
    return y + (first - first.detach()).sum() * 1e-3


def mixed_maps(case: Case, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """Map 1, which is not compared itself, must pass nothing to its neighbours."""
    y = plain(case)(first, *others)
    return y + (first[1] - first[1].detach()).sum() * 1e-3


def of_another_type(case: Case, *tensors: torch.Tensor) -> torch.Tensor:
    return plain(case)(*tensors).double()


WRONG = [
    slightly_larger,
    wrong_in_one_map,
    unwritten,
    wrong_gradient,
    mixed_maps,
    of_another_type,
]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_wrong_result_is_refused(operator: str, wrong) -> None:
    case = Case(operator, **TINY)
    inputs = make_inputs(case, "channels_last")
    reference = parity.Reference.build(plain(case), inputs)
    assert parity.check(plain(case), inputs, reference).passed
    with pytest.raises(parity.WrongResult):
        parity.check(functools.partial(wrong, case), inputs, reference).require(operator)


def test_joined_gradients_are_one_vector() -> None:
    case = Case("pixel_attention_block", **TINY)
    inputs, names = make_inputs(case, "channels_last"), ("qkv_bias", "gamma")
    reference = parity.Reference.build(plain(case), inputs, joined=names)
    assert "qkv_bias, gamma" in reference.bounds and "gamma" not in reference.bounds
    assert parity.check(plain(case), inputs, reference).passed
    wrong = parity.check(lambda *leaves: plain(case)(*leaves) * 1.001, inputs, reference)
    assert wrong.errors["qkv_bias, gamma"] == pytest.approx(1e-3, rel=0.01)


def test_a_joined_gradient_that_reaches_other_maps_is_refused() -> None:
    case = Case("pixel_attention", **TINY)
    inputs = make_inputs(case, "channels_last")
    reference = parity.Reference.build(plain(case), inputs, joined=inputs.names[:2])
    assert parity.check(plain(case), inputs, reference).passed
    assert not parity.check(functools.partial(mixed_maps, case), inputs, reference).passed


def test_a_wrong_peer_is_not_handed_out(monkeypatch) -> None:
    case = Case("pixel_attention", **TINY)
    peer = peer_of(case, "eager, channels_last")
    function, inputs, found = checked(case, peer)
    assert found.worst <= 1 and function(*inputs.leaves).shape == inputs.gradient.shape
    monkeypatch.setattr("benchmarks.peers.ours", lambda case, backend: plain(case))
    checked(case, peer_of(case, "ours, channels_last"))
    wrong = functools.partial(slightly_larger, case)
    monkeypatch.setattr("benchmarks.peers.ours", lambda case, backend: wrong)
    with pytest.raises(parity.WrongResult, match="ours, channels_last: found relative errors"):
        checked(case, peer_of(case, "ours, channels_last"))


def test_poison_ends_with_the_check() -> None:
    before = torch.utils.deterministic.fill_uninitialized_memory
    with parity.poisoned_memory():
        assert torch.empty(3).isnan().all()
    assert torch.utils.deterministic.fill_uninitialized_memory == before
