"""The whole block, encoding to residual: 512 channels, 64 key channels, one head."""

import pytest

from benchmarks import reporting
from benchmarks.cases import DIRECTIONS, SIDES

OPERATOR = "pixel_attention_block"


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("peer", reporting.peer_names(OPERATOR))
@pytest.mark.parametrize("side", SIDES)
def test_pixel_attention_block(benchmark, side: int, peer: str, direction: str) -> None:
    reporting.run(benchmark, OPERATOR, side, peer, direction)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("layout", ["channels_last", "NCHW"])
@pytest.mark.parametrize("side", SIDES)
def test_ours_against_eager(benchmark, side: int, layout: str, direction: str) -> None:
    reporting.compare(benchmark, OPERATOR, side, layout, direction)
