"""softmax(q k^T / sqrt(64)) v, one head, 64 key and 512 value channels."""

from benchmarks.comparison import against_peers

test_pixel_attention = against_peers("pixel_attention")
