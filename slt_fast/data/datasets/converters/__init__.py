"""Converters: each writes the rows of a manifest from the annotations of a known data set."""
