"""OpenCV's dense inverse search in C++, against cv2 itself."""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[2]

# Finest level, patch stride, iterations of the descent and of the refinement.
SETTINGS = {"ultrafast": (2, 4, 12, 0), "fast": (2, 4, 16, 5), "medium": (1, 3, 25, 5)}
CV2_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
# Small frames, for which OpenCV takes other levels, and odd ones, which no level halves exactly.
SIZES = [(8, 12), (16, 24), (17, 40), (56, 56), (80, 80), (90, 131), (131, 90), (255, 257)]
# Frames for which cv2 reads beyond its memory or refuses to run.
SIZES_FOR_US_ALONE = [(8, 8), (9, 11), (12, 111), (31, 200)]
PAIRS = ["Dimetrodon", "Grove3", "RubberWhale", "Venus", "Walking"]
SIZES_OF_PAIRS = {
    "224x224": (224, 224),
    "210x260": (210, 260),
    "260x210": (260, 210),
    "native": None,
}

# On other processors, and in other versions, cv2 itself rounds otherwise.
CV2_ROUNDS_ALIKE = (
    cv2.__version__.startswith("5.0.")
    and cv2.ipp.useIPP()
    and "*AVX2" in cv2.getCPUFeaturesLine().split()
)

Flow = Callable[[np.ndarray, np.ndarray, tuple[int, int, int, int]], np.ndarray]


@pytest.fixture(scope="module")
def dis_flow(build: Callable[..., Path]) -> Flow:
    sources = sorted((PROJECT_ROOT / "csrc" / "flow" / "opencv").glob("*.cpp"))
    sources.append(Path(__file__).with_name("opencv_dis.cpp"))
    library = build("opencv_dis.so", sources, "-O3", "-fPIC", "-shared")
    function = ctypes.CDLL(str(library)).opencv_dis_flow

    def flow_of(first: np.ndarray, second: np.ndarray, settings: tuple) -> np.ndarray:
        H, W = first.shape
        flow = np.full((2, H, W), np.nan, np.float32)
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (first, second, flow)]
        function(*pointers[:2], H, W, (ctypes.c_int * 4)(*settings), pointers[2])
        return flow

    return flow_of


def moving_pair(H: int, W: int) -> tuple[np.ndarray, np.ndarray]:
    """Two frames of a texture that waves and shifts by a few pixels."""
    border = 8
    noise = np.random.default_rng(H * W).integers(0, 256, (H + 2 * border, W + 2 * border))
    image = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 1.5)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    y, x = np.mgrid[border : border + H, border : border + W].astype(np.float32)
    moved = cv2.remap(image, x - 2.3 - np.sin(y / 9), y + 1.2 - np.cos(x / 11), cv2.INTER_LINEAR)
    first = image[border : border + H, border : border + W]
    return np.ascontiguousarray(first).astype(np.uint8), moved.astype(np.uint8)


def flow_of_cv2(first: np.ndarray, second: np.ndarray, preset: str) -> np.ndarray:
    return (
        cv2.DISOpticalFlow_create(CV2_PRESETS[preset]).calc(first, second, None).transpose(2, 0, 1)
    )


def assert_same_flow(ours: np.ndarray, theirs: np.ndarray) -> None:
    if CV2_ROUNDS_ALIKE:
        np.testing.assert_array_equal(ours, theirs)
    difference = np.abs(ours - theirs)
    assert np.median(difference) <= 1e-4
    assert np.percentile(difference, 99) <= 0.02


@pytest.mark.parametrize("preset", SETTINGS)
@pytest.mark.parametrize(("H", "W"), SIZES)
def test_equals_cv2_on_moving_textures(dis_flow: Flow, preset: str, H: int, W: int) -> None:
    pair = moving_pair(H, W)
    assert_same_flow(dis_flow(*pair, SETTINGS[preset]), flow_of_cv2(*pair, preset))


@pytest.mark.parametrize("finest_level", [0, 1])
def test_equals_cv2_with_settings_of_our_own(dis_flow: Flow, finest_level: int) -> None:
    pair = moving_pair(97, 122)
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(finest_level)
    dis.setPatchStride(5)
    dis.setGradientDescentIterations(7)
    dis.setVariationalRefinementIterations(3)
    theirs = dis.calc(*pair, None).transpose(2, 0, 1)
    assert_same_flow(dis_flow(*pair, (finest_level, 5, 7, 3)), theirs)


@pytest.mark.parametrize("preset", SETTINGS)
@pytest.mark.parametrize("size", SIZES_OF_PAIRS)
def test_equals_cv2_on_real_pairs(
    dis_flow: Flow, shared_data: Path, preset: str, size: str
) -> None:
    folder = shared_data / "flow" / "middlebury"
    for name in PAIRS:
        paths = [folder / name / f"frame{number}.png" for number in (10, 11)]
        if not all(path.is_file() for path in paths):
            pytest.skip(f"no pair of frames in {folder / name}")
        pair = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]
        if SIZES_OF_PAIRS[size] is not None:
            pair = [
                cv2.resize(frame, SIZES_OF_PAIRS[size], interpolation=cv2.INTER_AREA)
                for frame in pair
            ]
        assert_same_flow(dis_flow(*pair, SETTINGS[preset]), flow_of_cv2(*pair, preset))


@pytest.mark.parametrize("preset", SETTINGS)
@pytest.mark.parametrize(("H", "W"), SIZES_FOR_US_ALONE)
def test_runs_where_cv2_cannot(dis_flow: Flow, preset: str, H: int, W: int) -> None:
    flow = dis_flow(*moving_pair(H, W), SETTINGS[preset])
    assert np.isfinite(flow).all()
    assert np.abs(flow).max() < max(H, W)


@pytest.mark.parametrize("value", [0, 255])
def test_finds_no_motion_in_plain_frames(dis_flow: Flow, value: int) -> None:
    frame = np.full((61, 83), value, np.uint8)
    for settings in SETTINGS.values():
        np.testing.assert_array_equal(dis_flow(frame, frame, settings), 0)


def test_threads_compute_the_same(dis_flow: Flow) -> None:
    pair = moving_pair(90, 131)
    alone = dis_flow(*pair, SETTINGS["medium"])
    with ThreadPoolExecutor(4) as threads:
        together = threads.map(lambda _: dis_flow(*pair, SETTINGS["medium"]), range(8))
        for flow in together:
            np.testing.assert_array_equal(flow, alone)
