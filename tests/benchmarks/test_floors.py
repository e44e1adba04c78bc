import pytest

from benchmarks import floors
from benchmarks.cases import Case
from benchmarks.floors import Ceilings


@pytest.mark.parametrize(
    ("operator", "side", "direction", "ideal", "kernels"),
    [
        ("pixel_attention", 7, "forward", 9.6, 9.6),
        ("pixel_attention", 7, "backward", 15.0, 15.0),
        ("pixel_attention", 56, "forward", 3630, 3630),
        ("pixel_attention_block", 7, "forward", 11.2, 24),
        ("pixel_attention_block", 7, "backward", 22.4, 39),
        ("pixel_attention_block", 14, "backward", 112, 157),
        ("pixel_attention_block", 56, "both", 4280 + 8970, 4300 + 9200),
        ("positional_encoding", 28, "forward", 137, 137),
    ],
)
def test_floors_of_an_h100(operator, side, direction, ideal, kernels) -> None:
    """3.0 TB/s and 800 TFLOP/s; counted by hand, in microseconds."""
    case = Case(operator, 256, side, side, dtype="bfloat16")
    ceilings = Ceilings(3.0e12, 800e12)
    found = ceilings.seconds(floors.ideal(case, direction))
    assert found * 1e6 == pytest.approx(ideal, rel=0.02)
    found = ceilings.seconds(floors.kernels(case, direction))
    assert found * 1e6 == pytest.approx(kernels, rel=0.02)
