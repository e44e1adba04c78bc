"""2-D pixel-wise self-attention on a feature map, from positions to residual; see operator.py."""

from slt_fast.ops.pixel_attention_block.operator import pixel_attention_block
from slt_fast.ops.pixel_attention_block.reference import pixel_attention_block_reference

__all__ = ["pixel_attention_block", "pixel_attention_block_reference"]
