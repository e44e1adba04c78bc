"""Adding the encoding to maps of 512 channels. Backward alone has nothing to compute."""

import pytest

from benchmarks import reporting
from benchmarks.cases import SIDES

OPERATOR = "positional_encoding"


@pytest.mark.parametrize("direction", ["forward", "both"])
@pytest.mark.parametrize("peer", reporting.peer_names(OPERATOR))
@pytest.mark.parametrize("side", SIDES)
def test_positional_encoding(benchmark, side: int, peer: str, direction: str) -> None:
    reporting.run(benchmark, OPERATOR, side, peer, direction)


@pytest.mark.parametrize("direction", ["forward", "both"])
@pytest.mark.parametrize("layout", ["channels_last", "NCHW"])
@pytest.mark.parametrize("side", SIDES)
def test_ours_against_eager(benchmark, side: int, layout: str, direction: str) -> None:
    reporting.compare(benchmark, OPERATOR, side, layout, direction)
