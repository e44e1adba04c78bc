import pytest
import torch

from slt_fast.inference.ctc import greedy_ctc


@pytest.mark.parametrize(
    ("path", "length", "expected"),
    [
        ([1, 1, 0, 1, 2, 2], 6, [1, 1, 2]),
        ([0, 0, 0, 0, 0, 0], 6, []),
        ([3, 0, 0, 3, 3, 1], 4, [3, 3]),
        ([2, 1, 2, 2, 0, 2], 1, [2]),
    ],
)
def test_greedy_merges_repeats_and_drops_blanks(path, length, expected) -> None:
    logits = torch.nn.functional.one_hot(torch.tensor(path), 4).float()
    other = torch.tensor([1, 2, 3, 0, 0, 0])
    batch = torch.stack([logits, torch.nn.functional.one_hot(other, 4).float()])
    assert greedy_ctc(batch, torch.tensor([length, 6])) == [expected, [1, 2, 3]]
