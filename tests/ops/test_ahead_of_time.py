"""What the compiler makes of the kernels for GPUs that need not be there.

The launches that a real call would make are compiled, and the machine code is checked: a few on the
fast path, and as a slow test every row of kernel_table.json for the architectures it serves.
"""

import functools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slt_fast.ops import kernel_table

pytest.importorskip("triton", reason="needs triton, which is a package for Linux")

SHARED_MEMORY = {80: 163 * 1024, 90: 227 * 1024, 100: 227 * 1024}  # bytes a program may take
TENSOR_CORES = {80: "HMMA", 90: "HGMMA", 100: "UTC"}
# Kernels that move one scalar or row statistics in 4 bytes; none may load 2 bytes at a time.
NARROW = (".U8", ".S8", ".U16", ".S16")
SUMS = {"map_sums", "total_sums"}  # may store the few values of dbias and dencoding by 2 bytes
WITHOUT_PRODUCTS = {"add_encoding", "delta", *SUMS}

ATTENTION = {"operator": "pixel_attention", "heads": 1, "bias": False}
BLOCK = {"operator": "pixel_attention_block"}
ENCODING = {"operator": "add_positional_encoding_2d", "N": 49, "dk": 0, "dv": 512}
SIZES = (49, 196, 784)
PLAIN = [{**BLOCK, "N": N, "dk": 64, "dv": 512} for N in SIZES]
ONE_KERNEL = [
    {**PLAIN[0], "N": N, "dv": C, "one_kernel": True, "forward_only": True, "saves": saves}
    for N, C in ((49, 512), (25, 192), (9, 64))
    for saves in (True, False)
]
UNFUSED = [{**ATTENTION, "forward_only": True, "N": N, "dk": 64, "dv": 512} for N in SIZES]
BIASED = [{**ATTENTION, "bias": True, "N": N, "dk": 64, "dv": 512} for N in SIZES]
VIT = {**ATTENTION, "heads": 12, "N": 197, "dk": 64, "dv": 64}
LARGE_VIT = [{**VIT, "N": 577, "dv": dv, "bias": b} for dv in (64, 128) for b in (False, True)]
SWIN = {**ATTENTION, "heads": 3, "N": 49, "dk": 32, "dv": 32, "bias": True}
WIDE_KEYS = [{**ATTENTION, "N": N, "dk": 128, "dv": 512} for N in SIZES]
FEW_KEYS = [
    {**ATTENTION, "Nq": 100, "N": 49, "dk": 64, "dv": 512, "bias": b} for b in (False, True)
]
HALVES = [*PLAIN, *UNFUSED, *BIASED, VIT, *LARGE_VIT, SWIN, ENCODING]
# Half types in each regime, with a bias in one; float32 in the smallest, and over blocks of keys.
FEW = [
    (90, "bfloat16", [PLAIN[0], *ONE_KERNEL, BIASED[1], ENCODING]),
    (90, "bfloat16", [UNFUSED[1], PLAIN[2]]),
    (80, "float32", [PLAIN[0], UNFUSED[1]]),
]
FLOATS = [*PLAIN, *UNFUSED, *BIASED, *FEW_KEYS, ENCODING]
# The most channels that the kernels take, and that the kernels of narrow values take.
WIDEST = [
    *[{**ATTENTION, "bias": b, "N": N, "dk": 128, "dv": 512} for N in SIZES for b in (False, True)],
    *[{**ATTENTION, "bias": b, "N": 784, "dk": 128, "dv": 128} for b in (False, True)],
    *[{**BLOCK, "N": N, "dk": 128, "dv": 512} for N in SIZES],
]


def jobs(which: str) -> list[list[dict]]:
    """Returns what each process compiles.

    The two half types share their rows and nearly all of the code; SLT_FAST_TEST_EVERY_TYPE=1
    compiles both.
    """
    groups = {
        "few": FEW,
        "all": [
            (90, "bfloat16", [*HALVES, *ONE_KERNEL, *WIDE_KEYS]),
            (100, "bfloat16", HALVES),
            (80, "float16", HALVES),
            (80, "float32", FLOATS),
            (90, "float32", PLAIN[:1]),
            (100, "float32", PLAIN[:1]),
        ],
        "widest": [(a, dtype, WIDEST) for a in SHARED_MEMORY for dtype in ("bfloat16", "float32")],
    }[which]
    if which == "all" and os.environ.get("SLT_FAST_TEST_EVERY_TYPE") == "1":
        groups += [
            (90, "float16", [*HALVES, *ONE_KERNEL]),
            (100, "float16", HALVES),
            (80, "bfloat16", HALVES),
        ]
    return [
        [{**job, "architecture": architecture, "dtype": dtype} for job in some]
        for architecture, dtype, some in groups
    ]


def compiled(group: list[dict]) -> list[dict]:
    program = Path(__file__).with_name("compile_kernels.py")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, program],
        input=json.dumps(group),
        capture_output=True,
        text=True,
        env=environment,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


@functools.cache
def compiled_jobs(which: str) -> list[dict]:
    """Compiles by two processes at a time."""
    with ThreadPoolExecutor(2) as pool:
        return [kernel for group in pool.map(compiled, jobs(which)) for kernel in group]


@pytest.fixture(params=["few", pytest.param("all", marks=pytest.mark.slow)])
def kernels(request: pytest.FixtureRequest) -> list[dict]:
    return compiled_jobs(request.param)


def half_types(kernels: list[dict]) -> list[dict]:
    return [kernel for kernel in kernels if kernel["job"]["dtype"] != "float32"]


def with_products(kernels: list[dict]) -> list[dict]:
    return [kernel for kernel in kernels if kernel["kernel"] not in WITHOUT_PRODUCTS]


def label(kernel: dict) -> str:
    job = kernel["job"]
    biased = "biased" if job.get("bias") else "plain"
    return f"{kernel['kernel']} sm_{job['architecture']} {job['dtype']} N={job['N']} {biased}"


def count(kernel: dict, *beginnings: str) -> int:
    return sum(
        number for name, number in kernel["instructions"].items() if name.startswith(beginnings)
    )


@pytest.mark.slow
def test_every_row_of_the_table_was_compiled() -> None:
    kernels = compiled_jobs("all")
    assert sum(kernel["job"]["dtype"] == "float32" for kernel in kernels) > 10
    served = {
        (kernel["kernel"], kernel["row_architecture"], kernel["itemsize"], kernel["biased"])
        for kernel in kernels
    }
    table = {
        (row.kernel, row.architecture, row.itemsize, row.biased) for row in kernel_table.rows()
    }
    assert table <= served


def test_nothing_spills(kernels) -> None:
    spilling = [
        label(kernel)
        for kernel in kernels
        if kernel["stack"] or kernel["local"] or count(kernel, "LDL", "STL")
    ]
    assert not spilling


def test_matrix_products_run_on_tensor_cores(kernels) -> None:
    """On the instructions of their architecture."""
    without = {
        kernel["kernel"]
        for kernel in half_types(kernels)
        if not count(kernel, TENSOR_CORES[kernel["job"]["architecture"]])
    }
    assert without <= WITHOUT_PRODUCTS


def test_channels_last_loads_are_wide(kernels) -> None:
    """No load or store of 2 bytes, and 16 at a time where tensors are read."""
    for kernel in half_types(kernels):
        names = kernel["instructions"]
        moves = [name for name in names if name.startswith(("LDG", "STG", "LDGSTS"))]
        narrow = [name for name in moves if any(part in name for part in NARROW)]
        if kernel["kernel"] in SUMS:
            narrow = [name for name in narrow if not name.startswith("STG")]
        assert not narrow, f"{label(kernel)}: {narrow}"
        assert count(kernel, "LDG") and any(".128" in name for name in moves), label(kernel)


def too_large(kernels: list[dict]) -> list[str]:
    limits = SHARED_MEMORY
    return [label(k) for k in kernels if k["shared"] > limits[k["job"]["architecture"]]]


def test_shared_memory_fits(kernels) -> None:
    assert not too_large(kernels)


@pytest.mark.slow
def test_shared_memory_fits_the_most_channels() -> None:
    """Some kernels spill there, which is slow but right; a program that does not fit is refused."""
    kernels = compiled_jobs("widest")
    served = {(k["job"]["architecture"], k["kernel"], k["itemsize"], k["biased"]) for k in kernels}
    narrow = {(a, "key_block_backward_narrow", 2, b) for a in SHARED_MEMORY for b in (False, True)}
    assert narrow <= served
    assert not too_large(kernels)


def test_float32_is_exact(kernels) -> None:
    exact = [kernel for kernel in kernels if kernel["job"]["dtype"] == "float32"]
    assert exact
    for kernel in exact:
        assert not kernel["tf32"], label(kernel)
        assert not count(kernel, "HMMA", "HGMMA"), label(kernel)


def test_float32_sums_have_two_levels(kernels) -> None:
    """No product adds to a total of earlier blocks, which would be one chain of additions."""
    exact = with_products([k for k in kernels if k["job"]["dtype"] == "float32"])
    assert exact and all(kernel["products"] for kernel in exact)
    chains = [
        label(kernel)
        for kernel in exact
        if any(product["adds_to_a_total"] for product in kernel["products"])
    ]
    assert not chains


def test_no_product_is_computed_twice(kernels) -> None:
    """A warp computes 16 rows: if the warps along the rows cover more, some repeat others' work."""
    checked = with_products([k for k in half_types(kernels) if k["job"]["architecture"] < 100])
    assert checked and all(kernel["products"] for kernel in checked)
    repeated = {
        (kernel["kernel"], kernel["job"]["architecture"])
        for kernel in checked
        for product in kernel["products"]
        if 16 * product["warps"] > product["rows"]
    }
    # Sums of 512 value channels need the registers of 8 warps; scores of 64 keys have rows for 4.
    # dbias takes 8 warps on sm_80 for the same reason, and repeats with narrow values.
    assert repeated <= {("key_block_backward", 90), ("dbias", 80)}
