"""Optical flow on disk: the cache, and the extraction that fills it."""
