"""softmax(q k^T * scale + bias) v over the positions of a map; see operator.py."""

from slt_fast.ops.pixel_attention.operator import attention_weights, pixel_attention
from slt_fast.ops.pixel_attention.plan import set_workspace_limit

__all__ = ["attention_weights", "pixel_attention", "set_workspace_limit"]
