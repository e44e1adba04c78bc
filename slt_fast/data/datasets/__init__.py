"""Data sets: annotation files and where their videos are."""
