import dataclasses
import json
import math

import pytest

from slt_fast.errors import UserError
from slt_fast.model.config import ModelConfig


def test_the_defaults_are_the_papers() -> None:
    config = ModelConfig()
    assert config.backbone == "resnet18" and config.backbone_stages == 4
    assert config.backbone_weights == "imagenet"
    assert config.attention_heads == 1
    assert config.positional_encoding
    assert config.feed_forward == "standard"
    assert config.temporal_convolution == 0
    assert config.decoder_heads == 4
    assert config.decoder_norm_placement == "pre" and config.embedding_std == 0.5  # assumed


def test_survives_json() -> None:
    config = ModelConfig(key_channels=32, memory_map_size=(3, 4), attention_scale=1.0)
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    assert ModelConfig(**values) == config


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("backbone", "resnet50", r"\('resnet18', 'r3d_18'\)"),
        ("backbone_stages", 0, "1 to 4"),
        ("backbone_stages", 5, "1 to 4"),
        ("key_channels", 0, "at least 1"),
        ("attention_heads", 0, "at least 1"),
        ("attention_scale", 0.0, "0 < attention_scale <= 100"),
        ("attention_scale", math.inf, "0 < attention_scale <= 100"),
        ("gamma_start", float("nan"), "-10 to 10"),
        ("gamma_start", 11.0, "-10 to 10"),
        ("norm_placement", "both", r"\('post', 'pre'\)"),
        ("decoder_norm_placement", "both", r"\('pre', 'post'\)"),
        ("embedding_std", 0.0, "0 < embedding_std < 10"),
        ("embedding_std", float("nan"), "0 < embedding_std < 10"),
        ("feed_forward", "wide", r"\('standard', 'depthwise'\)"),
        ("memory", "clip", r"\('frame', 'pixel'\)"),
        ("temporal_convolution", 4, "0 or an odd size"),
        ("temporal_convolution", -3, "0 or an odd size"),
        ("width", 0, "at least 1"),
        ("width", 500, "a multiple of 2 \\* 4 decoder heads"),
        ("decoder_layers", 0, "at least 1"),
        ("decoder_heads", 0, "at least 1"),
        ("decoder_feed_forward", -1, "at least 1"),
        ("dropout", 1.0, "0 <= dropout < 1"),
        ("dropout", float("nan"), "0 <= dropout < 1"),
        ("backend", "cuda", "'reference', 'triton'"),
    ],
)
def test_a_bad_value_is_named(field, value, expected) -> None:
    with pytest.raises(ValueError, match=f"^{field}: found .*{value}.*; expected .*{expected}"):
        ModelConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"), [("attention_heads", 2), ("key_channels", 8), ("attention_scale", 0.5)]
)
def test_settings_without_a_meaning_without_attention(field, value) -> None:
    message = f"^{field}: found {value}; expected .*, as there is no attention"
    with pytest.raises(UserError, match=message):
        ModelConfig(attention=False, **{field: value})
    ModelConfig(attention=True, **{field: value})
    ModelConfig(attention=False, gamma_start=0.5)  # which recipes choose


@pytest.mark.parametrize("size", [(7,), (0, 7), (7, 7, 7)])
def test_a_bad_map_size_is_named(size) -> None:
    with pytest.raises(ValueError, match="memory_map_size: found .*; expected two sizes"):
        ModelConfig(memory_map_size=size)
