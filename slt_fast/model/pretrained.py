"""Start values of a backbone: torchvision's by name, or a file's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from slt_fast.files import check_file
from slt_fast.state_dict import StateDict, check_state_dict, download_state_dict, read_state_dict

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum


class Pretrained(NamedTuple):
    """Weights of torchvision that `backbone_weights` can name."""

    name: str  # as in backbone_weights
    network: str  # name of the network, for errors
    find: Callable[[], WeightsEnum]  # imports torchvision, which takes seconds


def load_weights(network: nn.Module, weights: str, known: Pretrained) -> None:
    """Loads weights into a whole network with torchvision's names.

    Args:
        network: The network; its classifier "fc" keeps its start values.
        weights: The name of the known weights, "none", or a file with a state dict.
        known: Weights that have a name.

    Raises:
        UserError: The weights cannot be downloaded or read, or belong to another network.
    """
    if weights == "none":
        return
    state = _downloaded(known) if weights == known.name else _from_file(Path(weights), known)
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    # The classifier is cut off. Files from before PyTorch 0.4.1 count no batches.
    own = network.state_dict()
    state |= {
        name: value
        for name, value in own.items()
        if name.startswith("fc.") or (name.endswith("num_batches_tracked") and name not in state)
    }
    source = f"torchvision's weights {weights!r}" if weights == known.name else weights
    check_state_dict(state, own, source=source, expected=f"{known.network}'s tensors")
    network.load_state_dict(state)


def _downloaded(known: Pretrained) -> StateDict:
    weights = known.find()
    advice = (
        f"Fetch {Path(weights.url).name} on another machine and pass its path as "
        "--backbone-weights, or train from scratch with --backbone-weights none"
    )
    return download_state_dict(weights, f"backbone_weights {known.name!r}", advice)


def _from_file(path: Path, known: Pretrained) -> StateDict:
    expected = f"a state dict of {known.network}"
    check_file(path, f"{known.name}, none, or a file with {expected} as backbone_weights")
    return read_state_dict(path, expected)
