"""What the scripts share: readable logging, and bad input as one line instead of a traceback."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from rich.console import Console
from rich.logging import RichHandler


def run(main: Callable[[], None]) -> None:
    """Runs a script's main function.

    Bad input (ValueError, OSError) ends the program with its message and exit status 1; anything
    else is a defect of ours and keeps its traceback.
    """
    console = Console(stderr=True)  # standard output is for results
    handler = RichHandler(console=console, show_path=False, rich_tracebacks=False, markup=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
