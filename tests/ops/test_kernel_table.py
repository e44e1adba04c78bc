import json

import pytest

from slt_fast.ops import kernel_table
from slt_fast.ops.kernel_table import find


def test_every_launch_has_a_row() -> None:
    """For each architecture, type and size, with a bias where a kernel takes one."""
    sized = ["whole_row_forward", "whole_row_forward_residual"]
    for architecture in (80, 90, 100):
        for itemsize, longest in ((2, 256), (4, 64)):
            for kernel in sized:
                assert find(kernel, architecture, itemsize, longest).max_size == longest
            assert find("whole_map_backward", architecture, itemsize, 64).max_size == 64
            plain = ["flash_forward", "flash_forward_residual", "weights_backward"]
            large = ["key_block_backward", "key_block_backward_narrow"] if itemsize == 2 else []
            for kernel in (*plain, *large, "transposed_product"):
                assert find(kernel, architecture, itemsize, 4096).max_size == 0
            biased = ["whole_row_forward", "flash_forward", "weights_backward", "dbias"]
            for kernel in (*biased, *large):
                assert find(kernel, architecture, itemsize, longest, True).biased
            for kernel in ("projection", "add_encoding"):
                assert find(kernel, architecture, itemsize).kernel == kernel


def test_takes_the_newest_architecture_that_is_not_newer_than_the_gpu() -> None:
    name = "key_block_backward"
    assert find(name, 80, 2).architecture == find(name, 87, 2).architecture == 80
    assert find(name, 90, 2).architecture == 90
    assert find(name, 100, 2).architecture == find(name, 103, 2).architecture == 100


def test_takes_the_least_size_that_is_enough() -> None:
    assert find("whole_row_forward", 90, 2, 49).max_size == 64
    assert find("whole_row_forward", 90, 2, 65).max_size == 256


def test_a_missing_row_is_named() -> None:
    with pytest.raises(LookupError, match="found no row for delta on sm_70, 2 bytes, size 9"):
        find("delta", 70, 2, 9)
    with pytest.raises(LookupError, match="found no row for whole_row_forward .* size 257"):
        find("whole_row_forward", 90, 2, 257)


def test_no_two_rows_serve_the_same_launch() -> None:
    rows = json.loads(kernel_table.PATH.read_text())
    names = ("kernel", "architecture", "itemsize", "biased", "max_size")
    keys = [tuple(row[name] for name in names) for row in rows]
    assert len(set(keys)) == len(keys)
    for row in rows:
        sizes = row["blocks"].values()
        assert all(size & (size - 1) == 0 for size in sizes), "blocks are powers of two"
