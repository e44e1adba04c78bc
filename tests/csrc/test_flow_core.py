"""Every formula of csrc/flow/core against its definition in float64."""

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.csrc.core_cases import interpolation, patch, refinement, settings

PROJECT_ROOT = Path(__file__).resolve().parents[2]
HEADERS = sorted((PROJECT_ROOT / "csrc" / "flow" / "core").glob("*.h"))
CASES = interpolation.CASES | patch.CASES | refinement.CASES | settings.CASES


@pytest.fixture(scope="module")
def core(build: Callable[..., Path]) -> ctypes.CDLL:
    source = Path(__file__).with_name("flow_core.cpp")
    return ctypes.CDLL(str(build("flow_core.so", [source], "-O2", "-fPIC", "-shared")))


def computed(core: ctypes.CDLL, name: str, arguments: np.ndarray) -> np.ndarray:
    arguments = np.ascontiguousarray(arguments, np.float32)
    encoded = name.encode()
    assert arguments.shape[1] == core.flow_core_inputs(encoded)
    results = np.full((len(arguments), core.flow_core_outputs(encoded)), 12345, np.float32)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (arguments, results)]
    core.flow_core(encoded, ctypes.c_int64(len(arguments)), *pointers)
    return results


@pytest.mark.parametrize("name", CASES)
@np.errstate(all="ignore")
def test_formula(core: ctypes.CDLL, name: str) -> None:
    case = CASES[name]
    results = computed(core, name, case.arguments)
    columns = case.arguments.astype(np.float64).T
    expected = case.expected(*columns)
    scales = expected if case.scale is None else case.scale(*columns)
    assert len(expected) == results.shape[1]
    for number, (want, scale) in enumerate(zip(expected, scales, strict=True)):
        found = results[:, number].astype(np.float64)
        is_right = (found == want) | (np.isnan(found) & np.isnan(want))
        is_right |= np.abs(found - want) <= case.tolerance * np.abs(scale)
        wrong = np.flatnonzero(~is_right)
        assert wrong.size == 0, (
            f"result {number} of {name}{tuple(case.arguments[wrong[0]])}: found {found[wrong[0]]}, "
            f"expected {np.broadcast_to(want, found.shape)[wrong[0]]}; {wrong.size} are wrong"
        )


def test_positions_just_below_a_pixel(core: ctypes.CDLL) -> None:
    """Rounding may move them onto the pixel; the weights still lead to the position."""
    steps = np.float32([-1e-3, -1e-6, -1e-9, 0, 1e-9, 1e-6])
    positions = (np.arange(-7, 1100, dtype=np.float32)[:, None] + steps).ravel()
    y, x = positions, positions[::-1]
    found = computed(core, "corner_of", np.stack([y, x], axis=1)).astype(np.float64)
    row, column, _, top_right, bottom_left, bottom_right = found.T
    np.testing.assert_allclose(row + bottom_left + bottom_right, y, rtol=0, atol=1e-6)
    np.testing.assert_allclose(column + top_right + bottom_right, x, rtol=0, atol=1e-6)
    rounding = np.spacing(np.maximum(y, x) + 8)
    assert (found[:, 2:].min(axis=1) >= -rounding).all()
    np.testing.assert_allclose(found[:, 2:].sum(axis=1), 1, rtol=0, atol=1e-6)


def test_no_formula_lacks_a_case() -> None:
    pattern = re.compile(r"^ *(?:SLT_FAST_FORMULA|inline) +(?:[\w<>:]+ +)(\w+)\(", re.MULTILINE)
    names = [name for header in HEADERS for name in pattern.findall(header.read_text())]
    assert sorted(CASES) == sorted(names)
