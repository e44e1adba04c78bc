"""Sinusoidal encoding of the two coordinates of a map; see encoding.py and operator.py."""

from slt_fast.ops.positional_encoding.encoding import positional_encoding_2d, sinusoidal_encoding
from slt_fast.ops.positional_encoding.operator import add_positional_encoding_2d

__all__ = ["add_positional_encoding_2d", "positional_encoding_2d", "sinusoidal_encoding"]
