import itertools

import pytest
import torch

from slt_fast.model.network import Output
from slt_fast.training.losses import Counts, translation_loss

B, T, G, S, V = 3, 6, 4, 5, 7
TEXT = torch.tensor([[1, 4, 5, 6, 2], [1, 4, 2, 0, 0], [1, 6, 5, 2, 0]])
GLOSSES = torch.tensor([[2, 2, 3], [1, 0, 0], [3, 1, 0]])
GLOSS_LENGTHS = torch.tensor([3, 1, 2])
COUNTS = Counts(text=9, ctc=6)


def output(dtype: torch.dtype = torch.float64) -> Output:
    gloss_logits = torch.randn(B, T, G, dtype=torch.float64).to(dtype).requires_grad_()
    text_logits = torch.randn(B, S - 1, V, dtype=torch.float64).to(dtype).requires_grad_()
    return Output(gloss_logits, torch.tensor([T, 4, 5]), text_logits)


def log_likelihood(logits: torch.Tensor, glosses: list[int]) -> torch.Tensor:
    """Sum over all paths that spell the glosses, one by one."""
    steps = logits.log_softmax(-1)
    paths = [
        sum(steps[t, token] for t, token in enumerate(path))
        for path in itertools.product(range(G), repeat=len(logits))
        if [token for token, _ in itertools.groupby(path) if token != 0] == glosses
    ]
    return torch.stack(paths).logsumexp(0)


def text_loss(out: Output, smoothing: float = 0.0) -> torch.Tensor:
    losses = []
    for b, t in itertools.product(range(B), range(S - 1)):
        if TEXT[b, t + 1] != 0:
            steps = out.text_logits[b, t].log_softmax(-1)
            losses.append(-(1 - smoothing) * steps[TEXT[b, t + 1]] - smoothing * steps.mean())
    return torch.stack(losses).mean()


def ctc_loss(out: Output, clips: list[int]) -> torch.Tensor:
    losses = []
    for clip in clips:
        glosses = GLOSSES[clip, : GLOSS_LENGTHS[clip]].tolist()
        logits = out.gloss_logits[clip, : out.gloss_lengths[clip]]
        losses.append(-log_likelihood(logits, glosses))
    return torch.stack(losses).sum() / GLOSS_LENGTHS[clips].sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("ctc_weight", "text_weight"), [(1.0, 1.0), (0.5, 2.0), (0.0, 1.0)])
def test_is_the_weighted_sum_of_both(smoothing, ctc_weight, text_weight) -> None:
    out = output()
    total, parts = translation_loss(
        out,
        GLOSSES,
        GLOSS_LENGTHS,
        TEXT,
        COUNTS,
        ctc_weight=ctc_weight,
        text_weight=text_weight,
        label_smoothing=smoothing,
    )
    text, ctc = text_loss(out, smoothing), ctc_loss(out, [0, 1, 2])
    assert parts["text"].item() == pytest.approx(text.item(), rel=1e-5)
    assert parts["ctc"].item() == pytest.approx(ctc.item(), rel=1e-5)
    expected = text_weight * text + ctc_weight * ctc
    leaves = (out.gloss_logits, out.text_logits)
    gradients = torch.autograd.grad(total, leaves)
    for gradient, want in zip(gradients, torch.autograd.grad(expected, leaves), strict=True):
        torch.testing.assert_close(gradient, want, rtol=1e-4, atol=1e-6)
    assert not any(part.requires_grad for part in parts.values())


def test_clips_without_glosses_are_left_out_of_the_mean() -> None:
    out = output()
    _, parts = translation_loss(out, GLOSSES, torch.tensor([3, 0, 2]), TEXT, Counts(9, 5))
    assert parts["ctc"].item() == pytest.approx(ctc_loss(out, [0, 2]).item(), rel=1e-5)


@pytest.mark.parametrize("longest", [0, 3])
def test_without_any_glosses_there_is_no_ctc_loss(longest) -> None:
    out, none = output(), torch.zeros(B, longest, dtype=torch.long)
    total, parts = translation_loss(out, none, torch.zeros(B, dtype=torch.long), TEXT, Counts(9, 0))
    assert set(parts) == {"text"}
    assert total.item() == pytest.approx(text_loss(out).item(), rel=1e-5)
    total.backward()
    assert out.gloss_logits.grad is None


def test_padding_has_no_gradient() -> None:
    out = output()
    total, _ = translation_loss(out, GLOSSES, GLOSS_LENGTHS, TEXT, COUNTS)
    total.backward()
    padded_text = TEXT[:, 1:] == 0
    padded_frames = torch.arange(T) >= out.gloss_lengths[:, None]
    assert padded_text.any()
    assert not out.text_logits.grad[padded_text].any()
    assert out.text_logits.grad[~padded_text].all()
    assert not out.gloss_logits.grad[padded_frames].any()
    assert out.gloss_logits.grad[~padded_frames].any(-1).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_summed_in_float32(dtype) -> None:
    out = output(dtype)
    exact = Output(out.gloss_logits.double(), out.gloss_lengths, out.text_logits.double())
    total, parts = translation_loss(out, GLOSSES, GLOSS_LENGTHS, TEXT, COUNTS)
    assert total.dtype == parts["ctc"].dtype == parts["text"].dtype == torch.float32
    expected = (text_loss(exact) + ctc_loss(exact, [0, 1, 2])).item()
    assert total.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("lengths", "glosses", "message"),
    [
        ([6, 4, 1], GLOSSES, "clip 2 of the batch: found 1 frames for 2 glosses; .* at least 2"),
        # Two equal glosses need a blank between them.
        ([3, 4, 5], GLOSSES, "clip 0 of the batch: found 3 frames for 3 glosses; .* at least 4"),
        ([4, 1, 2], GLOSSES.flip(0), "clip 2 of the batch: found 2 frames for 3 glosses; .* 4"),
    ],
)
def test_more_glosses_than_frames_are_named(lengths, glosses, message) -> None:
    out = output()._replace(gloss_lengths=torch.tensor(lengths))
    gloss_lengths = (glosses != 0).sum(1)
    with pytest.raises(ValueError, match=f"CTC: {message}"):
        translation_loss(out, glosses, gloss_lengths, TEXT, COUNTS)


def test_just_enough_frames_are_enough() -> None:
    out = output()._replace(gloss_lengths=torch.tensor([4, 1, 2]))
    total, parts = translation_loss(out, GLOSSES, GLOSS_LENGTHS, TEXT, COUNTS)
    assert parts["ctc"].item() == pytest.approx(ctc_loss(out, [0, 1, 2]).item(), rel=1e-5)
    assert total.isfinite()
