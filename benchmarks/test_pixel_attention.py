"""softmax(q k^T / sqrt(64)) v, one head, 64 key and 512 value channels."""

import pytest

from benchmarks import reporting
from benchmarks.cases import DIRECTIONS, SIDES

OPERATOR = "pixel_attention"


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("peer", reporting.peer_names(OPERATOR))
@pytest.mark.parametrize("side", SIDES)
def test_pixel_attention(benchmark, side: int, peer: str, direction: str) -> None:
    reporting.run(benchmark, OPERATOR, side, peer, direction)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("layout", ["channels_last", "NCHW"])
@pytest.mark.parametrize("side", SIDES)
def test_ours_against_eager(benchmark, side: int, layout: str, direction: str) -> None:
    reporting.compare(benchmark, OPERATOR, side, layout, direction)
