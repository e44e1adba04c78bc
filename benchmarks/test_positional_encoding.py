"""Adding the encoding to maps of 512 channels."""

from benchmarks.comparison import against_peers

test_positional_encoding = against_peers("positional_encoding")
