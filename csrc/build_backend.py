"""setuptools' build backend, which says what to do if setuptools is missing or too old."""

import sys


def advice(found: str) -> str:
    """Returns how to build slt_fast where this was found instead."""
    return (
        "Build slt_fast with --no-build-isolation (`python -m build` with --no-isolation) in an "
        f"environment with torch >= 2.11 and setuptools >= 77; {sys.prefix} has {found}. "
        "pytorch.org shows which torch suits your machine."
    )


try:
    import setuptools
    from setuptools.build_meta import *  # noqa: F403
except ModuleNotFoundError as error:
    sys.exit(advice(f"no setuptools ({error})"))
if int(setuptools.__version__.partition(".")[0]) < 77:
    sys.exit(advice(f"setuptools {setuptools.__version__}"))
