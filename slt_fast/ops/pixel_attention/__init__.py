"""softmax(q k^T * scale + bias) v over the positions of a map; see operator.py."""

from slt_fast.ops.pixel_attention.operator import pixel_attention
from slt_fast.ops.pixel_attention.reference import pixel_attention_reference

__all__ = ["pixel_attention", "pixel_attention_reference"]
