"""softmax(q k^T / sqrt(64)) v, one head, 64 key and 512 value channels."""

import pytest

from benchmarks import comparison
from benchmarks.cases import SIDES

OPERATOR = "pixel_attention"


@pytest.mark.parametrize("direction", comparison.DIRECTIONS)
@pytest.mark.parametrize("peer", comparison.opponents(OPERATOR))
@pytest.mark.parametrize("side", SIDES)
def test_pixel_attention(benchmark, side: int, peer: str, direction: str) -> None:
    comparison.compare(benchmark, OPERATOR, side, peer, direction)
