"""What every test starts from: fixed seeds, poisoned memory, and real data where it is found."""

import os
import random
import shutil
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    # Triton reads it when first imported: from then on its kernels run on CPU tensors.
    os.environ["TRITON_INTERPRET"] = "1"

# By default cuDNN rounds float32 convolutions to TF32, which references must not.
torch.backends.cudnn.allow_tf32 = False

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores; two threads each would mostly wait for one another.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"

PROJECT_ROOT = Path(__file__).resolve().parents[1]

hypothesis.settings.register_profile("slt_fast", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("slt_fast")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU; torch.cuda finds none"))


@pytest.fixture(scope="session", autouse=True)
def poisoned_memory() -> None:
    """Fills torch.empty and its kin, called from Python or C++, with NaN (integers: the largest).

    PyTorch does so in its deterministic mode only.
    """
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.use_deterministic_algorithms(True, warn_only=True)


@pytest.fixture(scope="session", autouse=True)
def own_compiled_graphs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Graphs that torch.compile kept earlier know the operators as they were then."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real clips, annotations and flow pairs, which is no part of the project."""
    path = Path(os.environ.get("SLT_FAST_TEST_DATA", PROJECT_ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no real test data at {path} (set SLT_FAST_TEST_DATA to its folder)")
    return path


@pytest.fixture
def tiny_recipe():
    """A recipe that trains in less than a second, with dropout, augmentation and random order."""
    # Imported here, because the operators are also tested where only torch and triton are.
    from slt_fast.data.augmentation import AugmentationConfig
    from slt_fast.data.input import InputConfig
    from slt_fast.model.config import ModelConfig
    from slt_fast.recipe import Recipe, SearchConfig, TrainingConfig

    return Recipe(
        InputConfig(image_size=32, flow_preset="fast", flow_bound=4.0),
        AugmentationConfig(zoom=0.1, shift=0.05, vigour=0.1, frame_dropout=0.1),
        ModelConfig(
            backbone_stages=1,
            backbone_weights="none",
            gamma_start=0.5,
            memory_map_size=(2, 2),
            width=32,
            decoder_layers=1,
            decoder_feed_forward=64,
            dropout=0.1,
        ),
        TrainingConfig(
            epochs=2,
            batch_size=2,
            learning_rate=3e-3,
            schedule="cosine",
            weight_decay=0.01,
            preload=True,
            num_workers=0,
            device="cpu",
        ),
        SearchConfig(beam_size=2, max_text_length=8),
    )


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium of this machine; playwright's own is not downloaded."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs a chromium or google-chrome on the path")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()
