"""Fused operators for any vision code; they know nothing of sign language."""

from slt_fast.ops.explain import explain
from slt_fast.ops.optical_flow import optical_flow
from slt_fast.ops.pixel_attention import attention_weights, pixel_attention, set_workspace_limit
from slt_fast.ops.pixel_attention_block import pixel_attention_block
from slt_fast.ops.positional_encoding import add_positional_encoding_2d

__all__ = [
    "add_positional_encoding_2d",
    "attention_weights",
    "explain",
    "optical_flow",
    "pixel_attention",
    "pixel_attention_block",
    "set_workspace_limit",
]
