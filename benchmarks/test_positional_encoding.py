"""Adding the encoding to maps of 512 channels."""

import pytest

from benchmarks import comparison
from benchmarks.cases import SIDES

OPERATOR = "positional_encoding"


@pytest.mark.parametrize("direction", comparison.DIRECTIONS)
@pytest.mark.parametrize("peer", comparison.opponents(OPERATOR))
@pytest.mark.parametrize("side", SIDES)
def test_positional_encoding(benchmark, side: int, peer: str, direction: str) -> None:
    comparison.compare(benchmark, OPERATOR, side, peer, direction)
