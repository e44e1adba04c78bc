import pytest
import torch

from slt_fast.data.ahead import on_stream_beside
from tests.inference.test_translate import batch


def clips() -> list[torch.Tensor]:
    return [torch.rand(length, 3, 32, 32) for length in (4, 9, 1)]


def test_a_cpu_has_no_streams() -> None:
    given = [batch(clip) for clip in clips()]
    for ours, theirs in zip(on_stream_beside(given, torch.device("cpu")), given, strict=True):
        assert ours is theirs


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gets_the_same_images() -> None:
    """While both streams are busy, and the memory of batches is used again."""
    device = torch.device("cuda")
    given = [batch(torch.rand(64, 3, 224, 224)) for _ in range(6)]
    expected = [each.images.double().sum((1, 2, 3)) for each in given]
    work = torch.rand(4096, 4096, device=device)
    found = []
    for each in on_stream_beside(given, device):
        assert each.images.device.type == "cuda"
        for _ in range(20):
            work = work @ work / work.norm()
        found.append(each.images.double().sum((1, 2, 3)))
        del each
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs)
