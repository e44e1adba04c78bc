"""The whole block, encoding to residual: 512 channels, 64 key channels, one head."""

import pytest

from benchmarks import comparison
from benchmarks.cases import SIDES

OPERATOR = "pixel_attention_block"


@pytest.mark.parametrize("direction", comparison.DIRECTIONS)
@pytest.mark.parametrize("peer", comparison.opponents(OPERATOR))
@pytest.mark.parametrize("side", SIDES)
def test_pixel_attention_block(benchmark, side: int, peer: str, direction: str) -> None:
    comparison.compare(benchmark, OPERATOR, side, peer, direction)
