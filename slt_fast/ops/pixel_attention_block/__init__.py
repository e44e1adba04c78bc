"""2-D pixel-wise self-attention on a feature map, from positions to residual; see operator.py."""

from slt_fast.ops.pixel_attention_block.operator import pixel_attention_block
from slt_fast.ops.pixel_attention_block.reference import block_attention_weights

__all__ = ["block_attention_weights", "pixel_attention_block"]
