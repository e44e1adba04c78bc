import dataclasses
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import tuning
from slt_fast.ops import kernel_table
from slt_fast.ops.kernel_table import Row

TABLE = kernel_table.rows()
ROW = Row("flash_forward", 80, 2, False, 0, {"BLOCK_Q": 64, "BLOCK_K": 64, "BLOCK_V": 64}, 4, 2)


def test_each_kernel_of_the_table_can_be_tuned() -> None:
    assert {tuning.base_name(row.kernel) for row in TABLE} == tuning.BLOCKS.keys()
    for row in TABLE:
        case, direction = tuning.workload(row)
        assert case.torch_dtype.itemsize == row.itemsize
        assert direction in ("forward", "backward")
        assert row.max_size == 0 or row.max_size >= case.N


@pytest.mark.parametrize("architecture", [80, 90, 100])
def test_candidates_change_one_thing(architecture: int) -> None:
    for row in tuning.current_rows(TABLE, architecture):
        others = tuning.candidates(row)
        assert len(others) >= 3 and row not in others
        for other in others:
            fields = dataclasses.fields(Row)
            changed = [f.name for f in fields if getattr(row, f.name) != getattr(other, f.name)]
            assert changed in (["blocks"], ["num_warps"], ["num_stages"])
            assert other.blocks.keys() == row.blocks.keys()
            assert all(size & (size - 1) == 0 for size in other.blocks.values())
            assert other.blocks.get("BLOCK_K", 256) >= row.max_size  # whole rows stay whole


def test_a_table_is_written_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    tuning.write_table(path, tuning.merged(TABLE, []))
    assert path.read_text() == kernel_table.PATH.read_text()


def test_only_rows_of_the_architecture_are_replaced() -> None:
    old = dataclasses.replace(ROW, architecture=90, num_warps=8)
    other = dataclasses.replace(ROW, itemsize=4)
    measured = dataclasses.replace(old, num_stages=3)
    assert tuning.merged([ROW, old, other], [measured]) == [ROW, other, measured]
    assert tuning.merged([ROW, old, other], []) == [ROW, other, old]


def test_all_sizes_get_a_row_as_those_of_older_architectures_are_hidden() -> None:
    small, large = (dataclasses.replace(ROW, max_size=size) for size in (64, 256))
    measured = dataclasses.replace(large, architecture=90, num_warps=8)
    kept = dataclasses.replace(small, architecture=90)
    assert tuning.merged([small, large], [measured]) == [small, large, kept, measured]


def test_descends_to_the_fastest_and_drops_what_has_no_time() -> None:
    def seconds(row: Row) -> float:
        return row.num_warps + 100 / row.blocks["BLOCK_V"]

    def measured(rows: list[Row]) -> dict[int, float]:
        small = {n: row for n, row in enumerate(rows) if row.blocks["BLOCK_K"] < 128}
        return {number: seconds(row) for number, row in small.items()}

    best = tuning._descend(dataclasses.replace(ROW, num_warps=8), measured)
    assert best == dataclasses.replace(ROW, blocks=ROW.blocks | {"BLOCK_V": 256})
    assert tuning._descend(ROW, lambda rows: {}) is None
    assert tuning._descend(ROW, lambda rows: dict.fromkeys(range(len(rows)), 1.0)) == ROW


def test_dry_run_needs_no_gpu(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["tuning", "--dry-run", "--kernel", "whole_map_backward"])
    tuning.main()
    printed = capsys.readouterr().out
    assert "whole_map_backward up to 64, 2 bytes, biased" in printed
    assert "projection" not in printed


def test_without_a_gpu_it_says_what_is_needed(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["tuning"])
    with pytest.raises(SystemExit, match="found no CUDA GPU; expected one"):
        tuning.main()
