import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import SwinTransformer, VisionTransformer, swin_t, swin_v2_t, vit_b_16
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.swin_transformer import (
    PatchMergingV2,
    ShiftedWindowAttention,
    ShiftedWindowAttentionV2,
    SwinTransformerBlockV2,
)

from slt_fast.integrations import attend_maps, fused_sagan_block, swin, use_pixel_attention
from slt_fast.ops import pixel_attention

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # on a CPU the kernels are interpreted
BACKENDS = ["reference", "triton"]
# The interpreter takes a minute for a whole model; small ones of the same classes go through it.
WHOLE_MODELS = BACKENDS if DEVICE == "cuda" else ["reference"]
WINDOW_CLASSES = [ShiftedWindowAttention, ShiftedWindowAttentionV2]
Results = dict[str, torch.Tensor]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So that sums have one order, and the interpreter's small matrices no threads to wait for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small_swin(**settings) -> nn.Module:
    sizes = {"embed_dim": 32, "depths": [2, 2], "num_heads": [2, 4], "window_size": [4, 4]}
    return SwinTransformer([4, 4], **sizes, num_classes=5, **settings)


def small_swin_v2(**settings) -> nn.Module:
    return small_swin(block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2, **settings)


def small_vit(**settings) -> nn.Module:
    return VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=5, **settings)


class SaganBlock(nn.Module):
    """As users write it: 1x1 convolutions, softmax over the keys, gamma, residual."""

    def __init__(self, C: int = 32, dk: int = 16, *, bias: bool = True) -> None:
        super().__init__()
        self.query = nn.Conv2d(C, dk, 1, bias=bias)
        self.key = nn.Conv2d(C, dk, 1, bias=bias)
        self.value = nn.Conv2d(C, C, 1, bias=bias)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gamma * self.attend(self.query(x), self.key(x), self.value(x)) + x

    def attend(self, query, key, value) -> torch.Tensor:
        weights = torch.bmm(query.flatten(2).mT, key.flatten(2)).softmax(-1)
        return torch.bmm(value.flatten(2), weights.mT).unflatten(2, query.shape[2:])


class NonLocalBlock(SaganBlock):
    """With half as many value channels, keys and values pooled, and an output convolution."""

    def __init__(self, C: int = 32, dk: int = 16) -> None:
        super().__init__(C, dk)
        self.value = nn.Conv2d(C, C // 2, 1)
        self.out = nn.Conv2d(C // 2, C, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        key, value = (F.max_pool2d(part(x), 2) for part in (self.key, self.value))
        return x + self.gamma * self.out(self.attend(self.query(x), key, value))


def disturbed(model: nn.Module) -> nn.Module:
    """In evaluation mode, with no parameter left at 0 and biases between positions that matter."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            size = 1 if "position_bias_table" in name or name == "gamma" else 0.05
            parameter.add_(torch.randn_like(parameter), alpha=size)
    return model.eval().to(DEVICE)


def fused(model: nn.Module, backend: str = "reference") -> nn.Module:
    twin = copy.deepcopy(model)
    use_pixel_attention(twin, backend=backend)
    return twin


def results(model: nn.Module, x: torch.Tensor, function: Callable | None = None) -> Results:
    """The output and all gradients, of the input and of every parameter."""
    x = x.detach().clone().requires_grad_()
    y = (function or model)(x)
    generator = torch.Generator().manual_seed(1)
    gradient = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y)
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(y, (x, *parameters.values()), gradient)
    return dict(zip(["output", "input", *parameters], (y.detach(), *gradients), strict=True))


def relative_error(value: torch.Tensor, exact: torch.Tensor) -> float:
    """Norm of the error over that of the exact value; NaN is the worst error."""
    error = (value.double() - exact).norm() / exact.norm()
    return float(error.nan_to_num(torch.inf))


def check_same(found: Results, original: Results, exact: Results) -> None:
    """The float64 run is met to 1e-5, or to twice the error of the original where that is more."""
    assert found.keys() == original.keys() == exact.keys()
    for name, want in exact.items():
        assert found[name].shape == want.shape and found[name].dtype == torch.float32, name
        assert want.any(), f"{name}: nothing to compare"
        bound = max(1e-5, 2 * relative_error(original[name], want))
        error = relative_error(found[name], want)
        assert error <= bound <= 1e-4, f"{name}: error {error:.2e}, bound {bound:.2e}"


def check_model(model: nn.Module, x: torch.Tensor, backends: list[str] = BACKENDS) -> None:
    x = x.to(DEVICE)
    exact = results(copy.deepcopy(model).double(), x.double())
    original = results(model, x)
    for backend in backends:
        check_same(results(fused(model, backend), x), original, exact)


@pytest.mark.parametrize(
    ("make", "backend"),
    [
        (small_swin, "reference"),
        (small_swin_v2, "reference"),
        (small_swin, "triton"),
        pytest.param(small_swin_v2, "triton", marks=pytest.mark.slow),
    ],
)
def test_swin(make, backend) -> None:
    # Maps of 9 x 7 and 5 x 4, both to be padded; the second is shifted along one side only.
    check_model(disturbed(make()), torch.randn(2, 3, 36, 28), [backend])


@pytest.mark.parametrize("backend", BACKENDS)
def test_vit(backend) -> None:
    check_model(disturbed(small_vit()), torch.randn(2, 3, 32, 32), [backend])


@pytest.mark.slow
def test_swin_t() -> None:
    # Maps of 16, 8, 4 and 2 at a window of 7: padded, shifted, and smaller than the window.
    check_model(disturbed(swin_t(weights=None)), torch.randn(1, 3, 64, 64), WHOLE_MODELS)


@pytest.mark.slow
def test_swin_v2_t() -> None:
    check_model(disturbed(swin_v2_t(weights=None)), torch.randn(1, 3, 64, 64), WHOLE_MODELS)


@pytest.mark.slow
def test_vit_b_16() -> None:
    model = disturbed(vit_b_16(weights=None, image_size=32))
    check_model(model, torch.randn(1, 3, 32, 32), WHOLE_MODELS)


WINDOWS = [([4, 3], [2, 1]), ([4, 3], [0, 2]), ([5, 5], [0, 0])]
MAP_SIZES = [(9, 7), (8, 6), (4, 7), (3, 2), (1, 1)]


def window_cases() -> Iterator:
    """Each size once, each window with and without bias; the whole product is slow."""
    for i, size in enumerate(MAP_SIZES):
        for j, (window, shift) in enumerate(WINDOWS):
            for has_bias in (True, False):
                is_quick = i % 3 == j and has_bias == (i < 3)
                marks = [] if is_quick else [pytest.mark.slow]
                yield pytest.param(has_bias, window, shift, size, marks=marks)


@pytest.mark.parametrize("attention", WINDOW_CLASSES)
@pytest.mark.parametrize(("has_bias", "window", "shift", "size"), window_cases())
def test_windows_of_any_size(attention, has_bias, window, shift, size) -> None:
    biases = {"qkv_bias": has_bias, "proj_bias": has_bias}
    module = disturbed(attention(32, window, shift, 2, **biases))
    x = torch.randn(3, *size, 32, device=DEVICE)
    check_model(module, x, ["reference"])


def test_windows_share_the_bias_of_all_images(monkeypatch) -> None:
    seen = []

    def spy(q, k, v, *, bias, **options):
        seen.append((len(q), tuple(bias.shape)))
        return pixel_attention(q, k, v, bias=bias, **options)

    monkeypatch.setattr(swin, "pixel_attention", spy)
    x = torch.randn(3, 8, 12, 32, device=DEVICE)
    for shift in ([2, 2], [0, 0]):
        fused(disturbed(ShiftedWindowAttention(32, [4, 4], shift, 2)))(x)
    assert seen == [(18, (6, 2, 16, 16)), (18, (1, 2, 16, 16))]


@pytest.mark.parametrize("make", [small_swin, small_swin_v2])
def test_projection_dropout_is_the_originals(make) -> None:
    model = disturbed(make(dropout=0.3)).train()
    x = torch.randn(2, 3, 36, 28, device=DEVICE)
    outputs = []
    for twin in (model, fused(model)):
        torch.manual_seed(3)
        outputs.append(twin(x))
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    expected = model.eval()(x)
    assert not torch.allclose(outputs[0], expected, rtol=1e-2)
    torch.testing.assert_close(fused(model)(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [small_swin, small_swin_v2, small_vit])
def test_attention_dropout_is_refused_in_training_alone(make) -> None:
    model = disturbed(make(attention_dropout=0.1))
    twin = fused(model)
    x = torch.randn(1, 3, 32, 32, device=DEVICE)
    torch.testing.assert_close(twin(x), model(x), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"Fused.*: found (attention_)?dropout=0.1 in training"):
        twin.train()(x)


@pytest.mark.parametrize("make", [small_swin, small_swin_v2, small_vit])
def test_only_this_model_changes(make) -> None:
    model, other = disturbed(make()), make()
    keys = list(model.state_dict())
    twin = fused(model)
    assert list(twin.state_dict()) == keys
    twin.load_state_dict(other.state_dict())
    make().load_state_dict(twin.state_dict())
    swapped = [module for module in twin.modules() if hasattr(module, "backend")]
    assert swapped
    assert all(type(module).__module__.startswith("slt_fast.integrations.") for module in swapped)
    assert not any(hasattr(module, "backend") for module in (*model.modules(), *make().modules()))
    for original in (nn.MultiheadAttention, *WINDOW_CLASSES):
        assert original.forward.__module__.startswith("torch")
    x = torch.randn(1, 3, 32, 32, device=DEVICE)
    assert torch.equal(copy.deepcopy(twin)(x), twin(x))


@pytest.mark.parametrize(("make", "expected"), [(small_swin, 4), (small_vit, 2)])
def test_counts_what_is_swapped(make, expected) -> None:
    model = make()
    assert use_pixel_attention(model) == expected
    with pytest.raises(
        ValueError,
        match=r"found nothing to swap in .*Transformer; expected .*\(it is done: \d+ are",
    ):
        use_pixel_attention(model)
    assert use_pixel_attention(nn.MultiheadAttention(32, 2, batch_first=True)) == 1


def test_other_models_and_backends_are_refused() -> None:
    class OwnAttention(nn.MultiheadAttention):
        """May compute anything."""

    for model in (nn.Conv2d(3, 3, 1), OwnAttention(32, 2, batch_first=True)):
        with pytest.raises(
            ValueError, match=f"nothing to swap in {type(model).__name__}; expected"
        ):
            use_pixel_attention(model)
    with pytest.raises(ValueError, match="found backend 'cuda'; expected one of"):
        use_pixel_attention(small_vit(), backend="cuda")


@pytest.mark.parametrize("make", [small_swin, small_swin_v2, small_vit])
def test_the_backend_is_the_one_asked_for(make) -> None:
    model = disturbed(make()).double()  # a type that the kernels refuse
    x = torch.randn(1, 3, 32, 32, device=DEVICE, dtype=torch.float64)
    with pytest.raises(ValueError, match="pixel_attention: backend 'triton' cannot run.*float64"):
        fused(model, "triton")(x)
    torch.testing.assert_close(fused(model, "auto")(x), model(x))


@pytest.mark.parametrize("make", [small_swin, small_swin_v2, small_vit])
def test_evaluation_and_autocast(make) -> None:
    model = disturbed(make())
    twin = fused(model, "auto")
    x = torch.randn(2, 3, 32, 32, device=DEVICE)
    with torch.no_grad():
        expected = model(x)
        torch.testing.assert_close(twin(x), expected, rtol=1e-5, atol=1e-5)
        with torch.autocast(DEVICE, dtype=torch.bfloat16):
            half, original = twin(x), model(x)
    assert half.dtype == original.dtype == torch.bfloat16
    bound = 2 * relative_error(original, expected.double())
    assert 0 < relative_error(half, expected.double()) < bound < 0.1


@pytest.mark.parametrize("make", [small_swin, small_swin_v2, small_vit])
def test_graphs(make) -> None:
    model = disturbed(make())
    twin = fused(model)
    x = torch.randn(2, 3, 32, 32, device=DEVICE)
    compiled = torch.compile(twin, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x), rtol=1e-5, atol=1e-5)
    leaves = [type(module) for module in twin.modules() if hasattr(module, "backend")]
    last = list(dict(twin.named_children()))[-1]
    extractor = create_feature_extractor(twin, [last], tracer_kwargs={"leaf_modules": leaves})
    torch.testing.assert_close(extractor(x)[last], model(x), rtol=1e-5, atol=1e-5)


MASKS = {
    "none": {},
    "hidden": {"attn_mask": torch.ones(5, 7).tril(2).logical_not()},
    "added": {"attn_mask": torch.linspace(-2, 2, 35).view(5, 7)},
    "added, of each head": {"attn_mask": torch.linspace(-2, 2, 210).view(6, 5, 7)},
    "padding": {"key_padding_mask": torch.arange(7) >= torch.tensor([[7], [4], [1]])},
    "all of a clip padding": {"key_padding_mask": torch.arange(7) >= torch.tensor([[7], [0], [3]])},
}
MASKS["both"] = MASKS["hidden"] | MASKS["padding"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
def test_multihead_attention_with_masks(masks, has_bias, backend) -> None:
    model = disturbed(nn.MultiheadAttention(32, 2, bias=has_bias, batch_first=True))
    memory = torch.randn(3, 7, 32, device=DEVICE)
    masks = {name: mask.to(DEVICE) for name, mask in masks.items()}

    def run(module: nn.Module, dtype: torch.dtype = torch.float32) -> Results:
        typed = {n: m.to(dtype) if m.is_floating_point() else m for n, m in masks.items()}

        def function(x: torch.Tensor) -> torch.Tensor:
            keys = memory.to(dtype)
            y, weights = module(x, keys, keys * 2, need_weights=False, **typed)
            assert weights is None
            return y

        return results(module, x.to(dtype), function)

    x = torch.randn(3, 5, 32, device=DEVICE)
    exact = run(copy.deepcopy(model).double(), torch.float64)
    check_same(run(fused(model, backend)), run(model), exact)


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("masks", [{}, MASKS["both"]])
def test_multihead_attention_gives_its_weights(masks, average) -> None:
    model = disturbed(nn.MultiheadAttention(32, 2, batch_first=True))
    x, memory = torch.randn(3, 5, 32, device=DEVICE), torch.randn(3, 7, 32, device=DEVICE)
    masks = {name: mask.to(DEVICE) for name, mask in masks.items()}
    options = {"average_attn_weights": average, **masks}
    expected = model(x, memory, memory, **options)
    for found, want in zip(fused(model)(x, memory, memory, **options), expected, strict=True):
        torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-6)


def test_torchs_own_transformer() -> None:
    model = disturbed(nn.Transformer(32, 2, 1, 1, 64, dropout=0, batch_first=True)).train()
    assert use_pixel_attention(twin := copy.deepcopy(model), backend="reference") == 3
    clip, text = torch.randn(2, 7, 32, device=DEVICE), torch.randn(2, 5, 32, device=DEVICE)
    causal = nn.Transformer.generate_square_subsequent_mask(5, device=DEVICE)
    expected = model(clip, text, tgt_mask=causal, tgt_is_causal=True)
    found = twin(clip, text, tgt_mask=causal, tgt_is_causal=True)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_first": False}, "attention: found batch_first=False; the fused"),
        ({"add_bias_kv": True}, "attention: found add_bias_kv=True"),
        ({"add_zero_attn": True}, "attention: found add_zero_attn=True"),
        ({"kdim": 16}, "attention: found kdim or vdim other than embed_dim"),
    ],
)
def test_multihead_attention_of_other_kinds_is_named(settings, message) -> None:
    attention = nn.MultiheadAttention(32, 2, **({"batch_first": True} | settings))
    good = nn.MultiheadAttention(32, 2, batch_first=True)
    model = nn.ModuleDict({"good": good, "attention": attention})
    with pytest.raises(ValueError, match=message):
        use_pixel_attention(model)
    assert type(good) is nn.MultiheadAttention  # all or nothing


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((5, 32), {}, r"found query of \[5, 32\]; expected \[B, Nq, C\]"),
        ((2, 5, 32), {"is_causal": True}, "found is_causal; expected attn_mask"),
        ((2, 5, 32), {"attn_mask": torch.zeros(5, 4)}, r"attn_mask of \[5, 4\]; expected \[5, 5\]"),
        ((2, 5, 32), {"attn_mask": torch.zeros(2, 5, 5)}, r"\[5, 5\] or \[4, 5, 5\]"),
        (
            (2, 5, 32),
            {"key_padding_mask": torch.zeros(2, 4)},
            r"found key_padding_mask of \[2, 4\]",
        ),
    ],
)
def test_multihead_attention_names_what_it_does_not_take(shape, options, message) -> None:
    module = fused(nn.MultiheadAttention(32, 2, batch_first=True))
    x = torch.zeros(shape)
    with pytest.raises(ValueError, match=message):
        module(x, x, x, **options)


@pytest.mark.parametrize("name", ["attn_mask", "key_padding_mask"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_masks_of_other_types_are_refused_as_by_the_original(name, dtype) -> None:
    module = nn.MultiheadAttention(32, 2, batch_first=True)
    x = torch.zeros(5, 5, 32)
    with pytest.raises(AssertionError, match="only bool and floating types"):
        module(x, x, x, **{name: torch.zeros(5, 5, dtype=dtype)})
    with pytest.raises(ValueError, match=f"found {name} of {dtype}; expected bool or a floating"):
        fused(module)(x, x, x, **{name: torch.zeros(5, 5, dtype=dtype)})


def test_arguments_of_other_kinds_are_named() -> None:
    array, flat = torch.zeros(2, 5, 32).numpy(), torch.zeros(5, 32)
    attention = fused(nn.MultiheadAttention(32, 2, batch_first=True))
    windows = fused(ShiftedWindowAttention(32, [4, 4], [0, 0], 2))
    parts = SaganBlock()
    for call in (
        lambda: attention(array, array, array),
        lambda: windows(array),
        lambda: attend_maps(array, array, array),
        lambda: fused_sagan_block(parts.query, parts.key, parts.value, 0.5),
        lambda: use_pixel_attention("model"),
    ):
        with pytest.raises(TypeError, match="found .* of type .*; expected a torch"):
            call()
    x = torch.zeros(2, 5, 32)
    with pytest.raises(ValueError, match=r"found key of \[5, 32\]; expected \[B, Nk, C\]"):
        attention(x, flat, flat)
    with pytest.raises(ValueError, match=r"found x of \[2, 5, 32\]; expected \[B, H, W, C\]"):
        windows(x)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("block", [SaganBlock, NonLocalBlock])
def test_attend_maps_in_a_users_block(block, backend) -> None:
    model = disturbed(block())
    x = torch.randn(2, 32, 6, 5, device=DEVICE)
    exact = results(copy.deepcopy(model).double(), x.double())
    original = results(model, x)
    twin = copy.deepcopy(model)
    twin.attend = lambda query, key, value: attend_maps(query, key, value, backend=backend)
    found = results(twin, x)
    # What all keys share leaves the softmax alone: its gradient is but rounding.
    vanishing = [run.pop("key.bias").norm() for run in (found, original, exact)]
    assert max(vanishing) < 1e-5 * exact["query.bias"].norm()
    check_same(found, original, exact)


def test_maps_and_blocks_take_the_backend_asked_for() -> None:
    model = SaganBlock().to(DEVICE, torch.float64)  # a type that the kernels refuse
    x = torch.randn(2, 32, 6, 5, device=DEVICE, dtype=torch.float64)
    parts = (model.query, model.key, model.value)
    refusal = "backend 'triton' cannot run.*float64"
    with pytest.raises(ValueError, match=f"pixel_attention: {refusal}"):
        attend_maps(*(part(x) for part in parts), backend="triton")
    block = fused_sagan_block(*parts, model.gamma, backend="triton")
    with pytest.raises(ValueError, match=f"pixel_attention_block: {refusal}"):
        block(x)


def test_attend_maps_of_any_number_of_sides() -> None:
    query, key, value = (torch.randn(2, channels, 24) for channels in (4, 4, 6))
    expected = attend_maps(query, key, value, scale=None)
    assert not torch.allclose(attend_maps(query, key, value), expected)
    torch.testing.assert_close(attend_maps(query * 4**-0.5, key, value), expected)
    found = attend_maps(
        query.view(2, 4, 2, 3, 4), key.view(2, 4, 6, 4), value.view(2, 6, 6, 4), scale=None
    )
    assert found.shape == (2, 6, 2, 3, 4)
    torch.testing.assert_close(found.flatten(2), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": (2, 4)}, r"found query of \[2, 4\]; expected \[B, channels, H, W\]"),
        ({"value": (2, 6, 3, 2)}, r"value of \[2, 6, 3, 2\]; expected .* key, \[2, 4, 2, 3\]"),
        ({"key": (2, 5, 2, 3)}, r"found k of \[2, 1, 6, 5\]; expected \[2, 1, 6, 4\]"),
    ],
)
def test_maps_that_do_not_fit_are_named(change, message) -> None:
    shapes = {"query": (2, 4, 5, 3), "key": (2, 4, 2, 3), "value": (2, 6, 2, 3)} | change
    with pytest.raises(ValueError, match=message):
        attend_maps(*(torch.zeros(shape) for shape in shapes.values()))


def joined(run: Results) -> Results:
    """A SAGAN block's results under the names of the fused module."""
    parts = ("query", "key", "value")
    names = {"weight", "bias"} if "query.bias" in run else {"weight"}
    qkv = {f"qkv.{name}": torch.cat([run[f"{part}.{name}"] for part in parts]) for name in names}
    qkv["qkv.weight"] = qkv["qkv.weight"].flatten(1)
    kept = {"output": run["output"], "input": run["input"], "gamma": run["gamma"].reshape(())}
    return kept | qkv


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("has_bias", [True, False])
def test_fused_sagan_block(has_bias, backend) -> None:
    model = disturbed(SaganBlock(bias=has_bias))
    before = copy.deepcopy(model.state_dict())
    parts = (model.query, model.key, model.value, model.gamma)
    block = fused_sagan_block(*parts, backend=backend)
    x = torch.randn(2, 32, 6, 5, device=DEVICE)
    exact = joined(results(copy.deepcopy(model).double(), x.double()))
    check_same(results(block, x), joined(results(model, x)), exact)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
    for name, tensor in model.state_dict().items():  # copied, not shared
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("frozen", ["gamma", "weight", "bias"])
def test_fused_sagan_block_keeps_type_and_what_is_frozen(frozen) -> None:
    model = SaganBlock().double()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(frozen not in name)
    block = fused_sagan_block(model.query, model.key, model.value, model.gamma)
    for name, parameter in block.named_parameters():
        assert parameter.dtype == torch.float64
        assert parameter.requires_grad == (frozen not in name), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": nn.Linear(32, 16)}, "query with class Linear, expected Conv2d"),
        ({"key": nn.Conv2d(32, 8, 1)}, "key with out_channels 8, expected 16"),
        ({"value": nn.Conv2d(32, 16, 1)}, "value with out_channels 16, expected 32"),
        ({"value": nn.Conv2d(16, 32, 1)}, "value with in_channels 16, expected 32"),
        ({"key": nn.Conv2d(32, 16, 3, padding=1)}, r"key with kernel_size \(3, 3\), .*padding"),
        ({"key": nn.Conv2d(32, 16, 1, stride=2)}, r"key with stride \(2, 2\)"),
        ({"query": nn.Conv2d(32, 16, 1, groups=2)}, "query with groups 2, expected 1"),
        ({"key": nn.Conv2d(32, 16, 1, bias=False)}, "found parts of 2 kinds"),
        ({"key": nn.Conv2d(32, 16, 1).double()}, "kinds: .*torch.float64"),
        ({"key": nn.Conv2d(32, 16, 1).requires_grad_(False)}, "kinds: .*requires_grad=False"),
        ({"gamma": torch.zeros(32)}, r"found gamma of \[32\]; expected one number"),
    ],
)
def test_parts_that_make_no_sagan_block_are_named(change, message) -> None:
    model = SaganBlock()
    parts = {name: getattr(model, name) for name in ("query", "key", "value", "gamma")} | change
    with pytest.raises(ValueError, match=message):
        fused_sagan_block(**parts)


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        (nn.utils.spectral_norm, "parameter weight_orig"),
        (nn.utils.parametrizations.spectral_norm, "class ParametrizedConv2d"),
        (nn.utils.parametrizations.weight_norm, "class ParametrizedConv2d"),
    ],
)
def test_normed_convolutions_are_refused_and_may_be_kept(norm, message) -> None:
    model = disturbed(SaganBlock())
    for part in (model.query, model.key, model.value):
        norm(part)
    with pytest.raises(ValueError, match=f"found query with .*{message}"):
        fused_sagan_block(model.query, model.key, model.value, model.gamma)
    x = torch.randn(2, 32, 6, 5, device=DEVICE)
    expected = model(x)
    model.attend = attend_maps
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)
