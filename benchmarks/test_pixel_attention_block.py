"""The whole block, encoding to residual: 512 channels, 64 key channels, one head."""

from benchmarks.comparison import against_peers

test_pixel_attention_block = against_peers("pixel_attention_block")
