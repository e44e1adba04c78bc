"""What all commands share: options, readable logging, and bad input as one line."""

import io
import logging
import signal
import sys
from collections.abc import Callable
from typing import Any

import tyro
from rich.console import Console
from rich.logging import RichHandler

from slt_fast.errors import UserError, printable

_TRACEBACK = "--traceback"
_HELP = f"Every command also takes {_TRACEBACK}: it shows where in the code an error arose."


def parse(kind: Any, description: str | None, **options: Any) -> Any:
    """Reads a dataclass from the command line; more options are those of tyro.cli."""
    arguments = [argument for argument in sys.argv[1:] if argument != _TRACEBACK]
    help_text = f"{description or ''}\n\n{_HELP}"
    return tyro.cli(kind, description=help_text, args=arguments, **options)


def show_error(error: UserError | OSError) -> None:
    """Prints one line for an error that the user can mend; raises it instead with --traceback."""
    if _TRACEBACK in sys.argv[1:]:
        raise error
    print(f"error: {printable(str(error))}", file=sys.stderr)


class _OneLine(logging.Formatter):
    """Escapes control characters: ids and file names of a data set may hold any."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))


def run(main: Callable[[], None]) -> None:
    """Runs the main function of a command.

    An error that the user can mend (UserError, OSError) ends the program with one line and exit
    status 1, Ctrl-C with 130, SIGTERM with 143. Any other error is a defect and keeps its
    traceback; --traceback shows it for all.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as slt_fast.commands leaves it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know ASCII only
    _log_to_standard_error()
    try:
        main()
    except (UserError, OSError) as error:
        show_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _log_to_standard_error() -> None:
    """Logs in colours to a terminal, in whole lines to a file; standard output is for results."""
    console = Console(stderr=True)
    handler: logging.Handler = RichHandler(console=console, show_path=False, markup=False)
    form = "%(message)s"
    if not console.is_terminal:
        handler, form = logging.StreamHandler(), "%(asctime)s %(levelname)s %(message)s"
    handler.setFormatter(_OneLine(form))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
