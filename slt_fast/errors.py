"""Errors that a user causes and can mend: one line, without a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2

Result = TypeVar("Result")


class UserError(ValueError):
    """An error raised on purpose for the person who called: its message says what to change.

    Any other ValueError is a defect of ours or of a library, and keeps its traceback.
    """


class DataError(UserError):
    """A file or clip that cannot be used.

    Args:
        path: The file, folder or "file:line" that is at fault.
        found: What is there.
        expected: What should be there.
        line: Line in the file, from 1; None where lines mean nothing.
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
        return f"{place}: found {self.found}; expected {self.expected}"


ErrorHandler = Callable[[DataError], None]


def report(error: DataError, on_error: ErrorHandler | None) -> None:
    """Hand an error to a reader's handler, which may leave the row out; raise it if there is none.

    Raises:
        DataError: The error itself, if `on_error` is None.
    """
    if on_error is None:
        raise error
    on_error(error)


def result_or_error(name: str, read: Callable[[], Result]) -> Result | DataError:
    """What `read` gives; or what is wrong with a clip: its data, its files, or its frames.

    Args:
        name: What errors call the clip's source.
        read: Reads it, and may compute its flow.
    """
    try:
        return read()
    except DataError as error:
        return error
    except OSError as error:
        found = error.strerror or str(error)
        return DataError(error.filename or name, found, "a file that can be read")
    except (ValueError, cv2.error) as error:
        found = " ".join(str(error).split())
        return DataError(name, found, "frames that optical flow can read")
