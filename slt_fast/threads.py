"""How OpenMP's threads wait for work."""

import os
import sys

_OWN_CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def wait_asleep() -> None:
    """Lets waiting threads sleep instead of spin, so that processes can share the cores.

    OpenMP reads it when torch is loaded. Afterwards, or if the environment already chooses how
    threads wait, this does nothing.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _OWN_CHOICES):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
