"""The version of the package, which caches and checkpoints record."""

__version__ = "0.2.0"
