import pytest
import torch
from torch import nn

from slt_fast.training.state import pack_state, restore_state


def network(width: int = 4, layout=torch.channels_last) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(
        nn.Conv2d(3, width, 3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * width, 1)
    ).to(memory_format=layout)
    return model, torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.rand(5, 3, 4, 4)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_restored_run_goes_on_as_the_unbroken_one(layout) -> None:
    """Whatever the layout of the weights: files hold the states without it."""
    model, optimizer = network(layout=layout)
    for _ in range(3):
        step(model, optimizer)
    random_state = torch.get_rng_state()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    state = pack_state(optimizer).items()
    state = {name: value.clone(memory_format=torch.contiguous_format) for name, value in state}
    for _ in range(2):
        step(model, optimizer)

    torch.manual_seed(99)
    resumed, fresh = network(layout=layout)
    resumed.load_state_dict(weights)
    restore_state(fresh, state, 3)
    torch.set_rng_state(random_state)
    for _ in range(2):
        step(resumed, fresh)
    for name, value in model.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_state_before_the_first_step() -> None:
    _, optimizer = network()
    state = pack_state(optimizer)
    assert not state
    restore_state(optimizer, {"random.cpu": torch.get_rng_state()}, 0)  # as earlier versions had it
    assert not optimizer.state_dict()["state"]


def test_settings_of_the_optimizer_stay_the_new_ones() -> None:
    model, optimizer = network()
    step(model, optimizer)
    other, fresh = network()
    fresh.param_groups[0]["lr"] = 0.7
    restore_state(fresh, pack_state(optimizer), 1)
    assert fresh.param_groups[0]["lr"] == 0.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.clear(), "found none after 1 steps"),
        (lambda state: state.pop("optimizer.1.exp_avg"), r"optimiser state 1: found None; .*\(4,"),
        (
            lambda state: state.update({"optimizer.9.exp_avg": torch.zeros(2)}),
            r"optimiser state 9: found \(2,\); expected None",
        ),
    ],
)
def test_other_states(change, message: str) -> None:
    model, optimizer = network()
    step(model, optimizer)
    state = pack_state(optimizer)
    change(state)
    with pytest.raises(ValueError, match=message):
        restore_state(network()[1], state, 1)


def test_states_of_another_network() -> None:
    model, optimizer = network(5)
    step(model, optimizer)
    with pytest.raises(ValueError, match=r"state 0: found \(5, 3, 3, 3\); expected \(4, 3, 3, 3\)"):
        restore_state(network()[1], pack_state(optimizer), 1)
