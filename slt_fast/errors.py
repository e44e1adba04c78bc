"""Errors that a user causes and can mend, and warnings: shown in one line, without a traceback."""

import logging
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

# Control characters, line and paragraph separators, lone surrogates, and those that reverse the
# direction of writing. An untrusted data set could rewrite the terminal with them.
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Escapes what would not be shown as it is, such as terminal escapes and line breaks."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


@cache
def warn_once(message: str) -> None:
    """Logs a warning, unless this process has logged it before."""
    logger.warning("%s", printable(message))  # a worker has no formatter of ours


class UserError(ValueError):
    """An error raised on purpose: its message tells the user what to change.

    Any other ValueError is a defect of ours or of a library, and keeps its traceback.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class DataError(UserError):
    """A file or clip that cannot be used.

    Args:
        path: The file, folder or clip at fault.
        found: What is there.
        expected: What should be there.
        line: Line in the file, from 1; None if there are no lines.
    """

    def __init__(
        self, path: str | Path, found: str, expected: str, line: int | None = None
    ) -> None:
        # All four go to the base class, so that the error survives pickling between processes.
        super().__init__(path, found, expected, line)
        self.path = path
        self.found = found
        self.expected = expected
        self.line = line

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return printable(f"{place}: found {self.found}; expected {self.expected}")


ErrorHandler = Callable[[DataError], None]


def handle(error: DataError, on_error: ErrorHandler | None) -> None:
    """Passes an error to a handler, which may leave the clip out; None raises the error."""
    if on_error is None:
        raise error
    on_error(error)


def result_or_error(name: str, work: Callable[[], Result]) -> Result | DataError:
    """Turns the errors of a clip into values; the only place that does.

    Only errors that a user can mend are turned: UserError, OSError and a lack of memory. A defect
    raises, so that leaving out bad clips never hides one. The name is that of the clip's source.
    """
    try:
        return work()
    except DataError as error:
        return error
    except UserError as error:
        return DataError(name, str(error), "frames that optical flow can read")
    except OSError as error:
        found = error.strerror or str(error)
        return DataError(error.filename or name, found, "a file that can be read")
    except torch.OutOfMemoryError:  # what else fills the GPU is no fault of the clip
        raise
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return DataError(
            name, "more frames than the memory holds", "a shorter clip or fewer workers"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Recognises the errors of our extension, of torch on a CPU and a GPU, and of OpenCV."""
    texts = ("can't allocate memory", "out of memory", "Insufficient memory")
    is_named = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return is_named or any(text in str(error) for text in texts)
