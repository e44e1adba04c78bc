"""A progress bar that is a line of the log, now and then, where nobody looks at a terminal."""

from __future__ import annotations

import io
import logging
import sys
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

_SECONDS = 60.0  # between two lines
_LINE = "{desc}: {n_fmt} of {total_fmt} {unit}s, {elapsed}<{remaining}, {rate_fmt}{postfix}"


class ProgressBar(tqdm):
    """tqdm's bar, which goes when it is done; a line of the log each minute outside a terminal.

    Args:
        settings: Settings of tqdm; `disable` shows neither.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._is_logged = not sys.stderr.isatty()
        if self._is_logged:
            # What tqdm itself writes, such as the end of a line, goes nowhere.
            settings |= {"file": io.StringIO(), "mininterval": _SECONDS, "delay": _SECONDS}
            settings |= {"bar_format": _LINE, "dynamic_ncols": False}
            settings |= {"miniters": 1}  # more of them, and tqdm's monitor adds lines of its own
        super().__init__(*arguments, leave=False, **settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Shows the bar, or logs its line; called by tqdm when it is time."""
        if not self._is_logged:
            return super().display(msg, pos)
        if msg is None:
            logger.info("%s", self)
        return True
